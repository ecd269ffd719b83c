'use client';

import { useEffect, useLayoutEffect, useRef, useState, type CSSProperties } from 'react';
import { Logo } from '@/components/logo';
import { TypeIcon } from '@/components/type-icon';
import { TYPE_LABELS, type Announcement, type Organization } from '@/lib/announcement';
import { TEXT_SIZES, textSize } from '@/lib/rotation';
import { clockText, dateText, momentText } from '@/lib/time';
import styles from './display.module.css';
import { useAnnouncements } from './use-announcements';
import { useNow } from './use-now';
import { useReloadOnNewBuild, useServiceWorker, useWakeLock } from './use-shell';
import { useSlides, type Slides } from './use-slides';
import { useDark, type Theme } from './use-theme';
import { useViews } from './use-views';

interface Props {
  community: Organization;
  initial: Announcement[];
  /** the server's clock when the page was made */
  now: number;
  build: string;
  theme: Theme;
}

/** A short loss, as with every deploy, is not worth a mark. */
const MARK_AFTER_MS = 5_000;
const CONTROLS_STAY_MS = 3_000;

export function Display({ community, initial, now: madeAt, build, theme }: Props) {
  const onBuild = useReloadOnNewBuild(build);
  const { items, skewMs, link, lastLive } = useAnnouncements(community.slug, initial, onBuild);
  const now = useNow(madeAt, skewMs);
  const [paused, setPaused] = useState(false);
  const slides = useSlides(items, now, paused);
  const dark = useDark(theme, now, community.timezone);
  const active = useActivity();
  useViews(community.slug, slides.shown?.id ?? null, slides.turn);
  useServiceWorker(build);
  useWakeLock();
  useKeys(slides.go, () => setPaused((was) => !was));

  const { shown } = slides;
  const lostAt = lastLive === null ? null : lastLive + (skewMs ?? 0);
  const offline = link === 'offline' && (lostAt === null || now - lostAt > MARK_AFTER_MS);
  return (
    <div
      className={styles.screen}
      data-dark={dark || undefined}
      data-type={shown?.type ?? 'none'}
      data-active={active || undefined}
      style={{ '--accent': community.accent } as CSSProperties}
    >
      <header className={styles.header}>
        <span className={styles.monogram} aria-hidden="true">
          {[...community.name][0]}
        </span>
        <div className={styles.community}>
          <h1 className={styles.name}>{community.name}</h1>
          <p className={styles.tagline}>{community.tagline}</p>
        </div>
        <div className={styles.clock}>
          <time className={styles.time} dateTime={new Date(now).toISOString().slice(0, 16)}>
            {clockText(now, community.timezone)}
          </time>
          <span className={styles.date}>{dateText(now, community.timezone)}</span>
        </div>
      </header>

      <main className={styles.main} aria-live={paused ? 'polite' : 'off'}>
        {shown ? (
          <Slide key={`${shown.id} ${shown.updatedAt} ${slides.turn}`} slides={slides} shown={shown} />
        ) : (
          <div className={styles.empty}>
            <p className={styles.emptyTitle}>Nothing to announce</p>
            <p className={styles.body}>Have a good day.</p>
          </div>
        )}
      </main>

      <footer className={styles.footer}>
        <Progress slides={slides} paused={paused} />
        <div className={styles.notes}>
          <span>{shown?.expiresAt ? `Until ${momentText(Date.parse(shown.expiresAt), now, community.timezone)}` : ''}</span>
          <span className={styles.marks}>
            {offline && (
              <span className={styles.offline} role="status">
                offline{lostAt === null ? '' : ` since ${momentText(lostAt, now, community.timezone)}`}
              </span>
            )}
            <span className={styles.maker}>
              <Logo size={24} /> Smart Sign
            </span>
          </span>
        </div>
      </footer>

      <div className={styles.controls} role="group" aria-label="Announcements">
        <button type="button" onClick={() => slides.go(-1)}>
          Previous
        </button>
        <button type="button" onClick={() => setPaused(!paused)} aria-pressed={paused}>
          Pause
        </button>
        <button type="button" onClick={() => slides.go(1)}>
          Next
        </button>
      </div>
    </div>
  );
}

function Slide({ slides, shown }: { slides: Slides; shown: Announcement }) {
  const [size, setSize] = useState(textSize(shown));
  const article = useRef<HTMLElement>(null);
  // Fonts and screens differ: where the text is higher than its room, the next smaller size is drawn before anybody sees it.
  useLayoutEffect(() => {
    const room = article.current?.parentElement;
    if (!article.current || !room || article.current.offsetHeight <= room.clientHeight) return;
    setSize((was) => TEXT_SIZES[TEXT_SIZES.indexOf(was) + 1] ?? was);
  }, [size]);
  return (
    <article
      ref={article}
      className={styles.slide}
      data-size={size}
      aria-roledescription="slide"
      aria-label={`${slides.index + 1} of ${slides.slides.length}`}
    >
      <p className={styles.type}>
        <TypeIcon type={shown.type} />
        {TYPE_LABELS[shown.type]}
      </p>
      <h2 className={styles.title}>{shown.title}</h2>
      {shown.body && <p className={styles.body}>{shown.body}</p>}
    </article>
  );
}

/** More segments than this cannot be told apart from across a room. */
const SEGMENTS_LIMIT = 24;

function Progress({ slides, paused }: { slides: Slides; paused: boolean }) {
  const { slides: all, index, turn, durationMs, shown } = slides;
  if (all.length < 2 || !shown) return <div className={styles.progress} />;
  const segments = all.length <= SEGMENTS_LIMIT ? all.length : 1;
  const current = segments === 1 ? 0 : index;
  return (
    <div className={styles.progress} aria-hidden="true">
      {Array.from({ length: segments }, (_, segment) => (
        <span key={segment} className={styles.segment} data-done={segment < current || undefined}>
          {segment === current && (
            <span
              key={`${shown.id} ${turn} ${paused}`}
              className={styles.fill}
              data-paused={paused || undefined}
              style={{ animationDuration: `${durationMs}ms` }}
            />
          )}
        </span>
      ))}
    </div>
  );
}

/** Whether somebody is at the device: only then the pointer and the controls are of use. */
function useActivity(): boolean {
  const [active, setActive] = useState(false);
  useEffect(() => {
    let timer: number | undefined;
    const notice = () => {
      setActive(true);
      clearTimeout(timer);
      timer = window.setTimeout(() => setActive(false), CONTROLS_STAY_MS);
    };
    const names = ['pointermove', 'pointerdown', 'keydown'] as const;
    for (const name of names) window.addEventListener(name, notice);
    return () => {
      clearTimeout(timer);
      for (const name of names) window.removeEventListener(name, notice);
    };
  }, []);
  return active;
}

/** Arrows move, the space bar pauses, F fills the screen. */
function useKeys(go: (step: number) => void, pause: () => void): void {
  const latest = useRef({ go, pause });
  useEffect(() => {
    latest.current = { go, pause };
  });
  useEffect(() => {
    const handle = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === 'ArrowRight') latest.current.go(1);
      else if (event.key === 'ArrowLeft') latest.current.go(-1);
      else if (event.key === ' ' && !(event.target instanceof HTMLButtonElement)) {
        event.preventDefault();
        latest.current.pause();
      } else if (event.key === 'f' || event.key === 'F') {
        void (document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen());
      }
    };
    window.addEventListener('keydown', handle);
    return () => window.removeEventListener('keydown', handle);
  }, []);
}
