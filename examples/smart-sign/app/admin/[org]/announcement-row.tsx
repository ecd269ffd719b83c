'use client';

import { useActionState, type MouseEvent } from 'react';
import { TypeIcon } from '@/components/type-icon';
import { TYPE_LABELS, VISIBILITIES, VISIBILITY_HINTS, VISIBILITY_LABELS, phaseOf, type AdminAnnouncement } from '@/lib/announcement';
import { momentText } from '@/lib/time';
import { remove, show } from './actions';
import styles from './admin.module.css';

interface Props {
  item: AdminAnnouncement;
  org: string;
  timezone: string;
  now: number;
  past: boolean;
}

const number = new Intl.NumberFormat('en-GB');

export function AnnouncementRow({ item, org, timezone, now, past }: Props) {
  const [shown, showAction, showing] = useActionState(show, { message: null });
  const [removed, removeAction, removing] = useActionState(remove, { message: null });
  const message = shown.message ?? removed.message;
  const target = (
    <>
      <input type="hidden" name="org" value={org} />
      <input type="hidden" name="id" value={item.id} />
    </>
  );
  const confirmed = (event: MouseEvent) => {
    if (!window.confirm(`Delete “${item.title}”? Its view count goes with it.`)) event.preventDefault();
  };
  return (
    <li className={styles.row} data-type={item.type} data-past={past || undefined}>
      <div className={styles.rowText}>
        <p className={styles.rowType}>
          <TypeIcon type={item.type} size="1.1em" /> {TYPE_LABELS[item.type]}
          {item.visibility !== 'public' && <span className={styles.badge}>{VISIBILITY_LABELS[item.visibility]}</span>}
        </p>
        <h3 className={styles.rowTitle}>{item.title}</h3>
        {item.body && <p className={styles.rowBody}>{item.body}</p>}
        <p className={styles.rowTimes}>{timesText(item, now, timezone)}</p>
      </div>
      <p className={styles.views}>
        <strong>{number.format(item.views)}</strong> {item.views === 1 ? 'view' : 'views'}
        <span className={styles.viewsToday}>{number.format(item.viewsToday)} today</span>
      </p>
      <div className={styles.rowActions}>
        {!past && (
          <form action={showAction} className={styles.visibility}>
            {target}
            <span className="visually-hidden" id={`visibility-${item.id}`}>
              Who sees “{item.title}”
            </span>
            <div role="group" aria-labelledby={`visibility-${item.id}`}>
              {VISIBILITIES.map((visibility) => (
                <button
                  key={visibility}
                  type="submit"
                  name="visibility"
                  value={visibility}
                  aria-pressed={item.visibility === visibility}
                  disabled={showing}
                  title={VISIBILITY_HINTS[visibility]}
                >
                  {VISIBILITY_LABELS[visibility]}
                </button>
              ))}
            </div>
          </form>
        )}
        <form action={removeAction}>
          {target}
          <button type="submit" className={styles.delete} onClick={confirmed} disabled={removing}>
            Delete<span className="visually-hidden"> “{item.title}”</span>
          </button>
        </form>
      </div>
      {message && (
        <p className={styles.error} role="alert">
          {message}
        </p>
      )}
    </li>
  );
}

function timesText(item: AdminAnnouncement, now: number, timezone: string): string {
  const at = (iso: string) => momentText(Date.parse(iso), now, timezone);
  const phase = phaseOf(item, now);
  if (phase === 'expired' && item.expiresAt) return `Ended ${at(item.expiresAt)}`;
  const start = phase === 'upcoming' ? 'Starts' : 'Since';
  return `${start} ${at(item.startsAt)}, ${item.expiresAt ? `until ${at(item.expiresAt)}` : 'until removed'}`;
}
