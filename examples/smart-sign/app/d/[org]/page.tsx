import type { Metadata } from 'next';
import { notFound } from 'next/navigation';
import { cache } from 'react';
import { isSlug } from '@/lib/announcement';
import { env } from '@/lib/env';
import { announcementsForPage, findCommunity } from '@/lib/store';
import { Display } from './display';
import type { Theme } from './use-theme';

export const dynamic = 'force-dynamic';

// The title and the page ask for the same community: once per request is enough.
const communityOf = cache(async (slug: string) => (isSlug(slug) ? findCommunity(slug) : null));

export async function generateMetadata({ params }: PageProps<'/d/[org]'>): Promise<Metadata> {
  const { org } = await params;
  const community = await communityOf(org);
  return { title: community?.name ?? 'Not found' };
}

const themeOf = (value: unknown): Theme =>
  value === 'light' || value === 'dark' || value === 'system' ? value : 'time';

export default async function DisplayPage({ params, searchParams }: PageProps<'/d/[org]'>) {
  const { org } = await params;
  const community = await communityOf(org);
  if (!community) notFound();
  return (
    <Display
      community={community}
      initial={await announcementsForPage(org)}
      now={Date.now()}
      build={env.build()}
      theme={themeOf((await searchParams).theme)}
    />
  );
}
