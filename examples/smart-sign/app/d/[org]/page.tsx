import type { Metadata } from 'next';
import { notFound } from 'next/navigation';
import { isSlug } from '@/lib/announcement';
import { env } from '@/lib/env';
import { announcementsForPage, findCommunity } from '@/lib/store';
import { Display } from './display';
import type { Theme } from './use-theme';

export const dynamic = 'force-dynamic';

export async function generateMetadata({ params }: PageProps<'/d/[org]'>): Promise<Metadata> {
  const { org } = await params;
  const community = isSlug(org) ? await findCommunity(org) : null;
  return { title: community?.name ?? 'Not found' };
}

const themeOf = (value: unknown): Theme =>
  value === 'light' || value === 'dark' || value === 'system' ? value : 'time';

export default async function DisplayPage({ params, searchParams }: PageProps<'/d/[org]'>) {
  const { org } = await params;
  const community = isSlug(org) ? await findCommunity(org) : null;
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
