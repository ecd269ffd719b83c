import type { Metadata } from 'next';
import Link from 'next/link';
import { notFound } from 'next/navigation';
import type { CSSProperties } from 'react';
import { Logo } from '@/components/logo';
import { isAdmin } from '@/lib/admin-session';
import { isSlug, phaseOf, type AdminAnnouncement, type Organization } from '@/lib/announcement';
import { findCommunity, listForAdmin } from '@/lib/store';
import { toLocal } from '@/lib/time';
import { signOut } from './actions';
import styles from './admin.module.css';
import { AnnouncementForm } from './announcement-form';
import { AnnouncementRow } from './announcement-row';
import { SignInForm } from './sign-in-form';

export const dynamic = 'force-dynamic';
export const metadata: Metadata = { title: 'Admin', robots: { index: false } };

const WEEK_MS = 7 * 86_400_000;

export default async function AdminPage({ params }: PageProps<'/admin/[org]'>) {
  const { org } = await params;
  const community = isSlug(org) ? await findCommunity(org) : null;
  if (!community) notFound();
  const admin = await isAdmin();
  return (
    <div className={styles.page} style={{ '--accent': community.accent } as CSSProperties}>
      <header className={styles.header}>
        <Link href="/" className={styles.home} prefetch={false}>
          <Logo size={28} />
          <span className="visually-hidden">All communities</span>
        </Link>
        <div className={styles.heading}>
          <h1 className={styles.name}>{community.name}</h1>
          <p className={styles.zone}>Times are in {community.timezone.replaceAll('_', ' ')}</p>
        </div>
        <nav className={styles.nav} aria-label="Community">
          <a href={`/d/${community.slug}`}>Display</a>
          {admin && (
            <form action={signOut}>
              <input type="hidden" name="org" value={community.slug} />
              <button type="submit">Sign out</button>
            </form>
          )}
        </nav>
      </header>
      {admin ? <Announcements community={community} /> : <SignInForm org={community.slug} />}
    </div>
  );
}

async function Announcements({ community }: { community: Organization }) {
  const all = await listForAdmin(community);
  const now = Date.now();
  const past = (item: AdminAnnouncement) => item.archivedAt !== null || phaseOf(item, now) === 'expired';
  const groups = [
    { title: 'On display and to come', items: all.filter((item) => !past(item) && item.visibility === 'public') },
    { title: 'Members and drafts', items: all.filter((item) => !past(item) && item.visibility !== 'public') },
    { title: 'Past', items: all.filter(past) },
  ];
  return (
    <div className={styles.columns}>
      <section className={styles.panel} aria-labelledby="new">
        <h2 id="new" className={styles.groupTitle}>
          New announcement
        </h2>
        <AnnouncementForm org={community.slug} suggestedEnd={toLocal(now + WEEK_MS, community.timezone)} />
      </section>
      <div className={styles.groups}>
        {groups.map(({ title, items }) => (
          <section key={title} aria-label={title}>
            <h2 className={styles.groupTitle}>
              {title} <span className={styles.groupCount}>{items.length}</span>
            </h2>
            {items.length === 0 ? (
              <p className={styles.nothing}>Nothing here.</p>
            ) : (
              <ul className={styles.rows}>
                {items.map((item) => (
                  <AnnouncementRow
                    key={item.id}
                    item={item}
                    org={community.slug}
                    timezone={community.timezone}
                    now={now}
                    past={past(item)}
                  />
                ))}
              </ul>
            )}
          </section>
        ))}
      </div>
    </div>
  );
}
