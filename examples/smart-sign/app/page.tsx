import Link from 'next/link';
import type { CSSProperties } from 'react';
import { Logo } from '@/components/logo';
import { listCommunities } from '@/lib/store';
import styles from './page.module.css';

export const dynamic = 'force-dynamic';

const onDisplayText = (count: number): string =>
  count === 0 ? 'Nothing on display' : count === 1 ? '1 announcement on display' : `${count} announcements on display`;

export default async function Home() {
  const communities = await listCommunities();
  return (
    <main className={styles.page}>
      <header className={styles.header}>
        <Logo size={44} />
        <span className={styles.brand}>Smart Sign</span>
      </header>
      <h1 className={styles.claim}>What is on in your building, where everybody walks past.</h1>
      <p className={styles.lead}>
        Communities post announcements; the screens in their lobbies show them at once, and keep showing them when
        the network is gone.
      </p>
      <h2 className={styles.heading}>Communities</h2>
      {communities.length === 0 ? (
        <p className={styles.lead}>There is none yet. Run the migrations to add the demo.</p>
      ) : (
        <ul className={styles.cards}>
          {communities.map((community) => (
            <li
              key={community.id}
              className={styles.card}
              style={{ '--accent': community.accent } as CSSProperties}
            >
              <span className={styles.monogram} aria-hidden="true">
                {[...community.name][0]}
              </span>
              <h3 className={styles.name}>{community.name}</h3>
              <p className={styles.tagline}>{community.tagline}</p>
              <p className={styles.count}>{onDisplayText(community.onDisplay)}</p>
              <div className={styles.actions}>
                {/* A document of its own, not a client navigation: a display is loaded as it will be in the lobby. */}
                <a className={styles.primary} href={`/d/${community.slug}`}>
                  Open display<span className="visually-hidden"> of {community.name}</span>
                </a>
                <Link className={styles.secondary} href={`/admin/${community.slug}`} prefetch={false}>
                  Admin<span className="visually-hidden"> of {community.name}</span>
                </Link>
              </div>
            </li>
          ))}
        </ul>
      )}
    </main>
  );
}
