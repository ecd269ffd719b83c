import { useEffect, useReducer } from 'react';
import type { Announcement } from '@/lib/announcement';
import { backoffMs } from '@/lib/backoff';
import { applyChanges, type Changes } from '@/lib/changes';
import { keepAnnouncements, readLastLive, writeLastLive } from './kept';

interface State {
  items: Announcement[];
  /** what the server's clock is ahead of ours, null before the page runs */
  skewMs: number | null;
  /** live: a stream is open; polling: only single requests get through; offline: nothing does */
  link: 'live' | 'polling' | 'offline';
  /** our clock when the server was last heard, null when never */
  lastLive: number | null;
}

type Action =
  | { type: 'started'; lastLive: number | null }
  | { type: 'clock'; now: number }
  | { type: 'snapshot'; items: Announcement[] }
  | { type: 'change'; changes: Changes }
  | { type: 'polled'; items: Announcement[]; fromServer: boolean }
  | { type: 'lost' };

function reduce(state: State, action: Action): State {
  switch (action.type) {
    case 'started':
      return { ...state, skewMs: state.skewMs ?? 0, lastLive: state.lastLive ?? action.lastLive };
    case 'clock':
      return { ...state, skewMs: action.now - Date.now(), link: 'live', lastLive: Date.now() };
    case 'snapshot':
      return { ...state, items: action.items, link: 'live', lastLive: Date.now() };
    case 'change':
      return { ...state, items: applyChanges(state.items, action.changes) };
    case 'polled':
      // An answer to an earlier question must not replace what the stream told since.
      if (state.link === 'live') return state;
      return action.fromServer
        ? { ...state, items: action.items, link: 'polling', lastLive: Date.now() }
        : { ...state, items: action.items };
    case 'lost':
      return { ...state, link: 'offline' };
  }
}

const BACKOFF = { firstMs: 1_000, limitMs: 30_000 };
/** Heartbeats come every 15 s; without three of them the connection is dead, whatever the socket says. */
const SILENCE_MS = 46_000;
/** The server that is stopping said so: another one is there already. The spread keeps many displays from arriving at once. */
const MOVE_MS = 400;

/** The announcements of a community, kept up to date through its stream; what was last known while there is none. */
export function useAnnouncements(org: string, initial: Announcement[], onBuild: (build: string) => void): State {
  const [state, dispatch] = useReducer(reduce, { items: initial, skewMs: null, link: 'polling', lastLive: null });

  useEffect(() => {
    let source: EventSource | null = null;
    let attempt = 0;
    let retry: number | undefined;
    let silence: number | undefined;
    let ended = false;

    function alive(): void {
      clearTimeout(silence);
      silence = window.setTimeout(lost, SILENCE_MS);
      writeLastLive(org);
    }

    function listen(name: string, handle: (data: unknown) => void): void {
      source?.addEventListener(name, (event) => {
        alive();
        handle(JSON.parse((event as MessageEvent<string>).data));
      });
    }

    function connect(): void {
      if (ended) return;
      again(null);
      source = new EventSource(`/api/stream/${org}`);
      silence = window.setTimeout(lost, SILENCE_MS);
      listen('hello', (data) => {
        const { now, build } = data as { now: number; build: string };
        dispatch({ type: 'clock', now });
        onBuild(build);
      });
      listen('snapshot', (data) => {
        attempt = 0;
        dispatch({ type: 'snapshot', items: (data as { announcements: Announcement[] }).announcements });
      });
      listen('change', (data) => dispatch({ type: 'change', changes: data as Changes }));
      listen('heartbeat', (data) => dispatch({ type: 'clock', now: (data as { now: number }).now }));
      listen('reconnect', () => again(Math.random() * MOVE_MS));
      // The browser would try by itself, but not after an error status, and not with a growing distance.
      source.onerror = lost;
    }

    /** Leaves the stream; comes back after the wait, if one is given. */
    function again(waitMs: number | null): void {
      source?.close();
      source = null;
      clearTimeout(silence);
      clearTimeout(retry);
      if (waitMs !== null) retry = window.setTimeout(connect, waitMs);
    }

    function lost(): void {
      again(backoffMs(BACKOFF, attempt, Math.random()));
      attempt += 1;
      dispatch({ type: 'lost' });
      // Perhaps only streams fail here; and without a network this is what the service worker kept.
      void poll(org).then((answer) => answer && !ended && dispatch({ type: 'polled', ...answer }));
    }

    const online = () => {
      attempt = 0;
      again(0);
    };
    dispatch({ type: 'started', lastLive: readLastLive(org) });
    window.addEventListener('online', online);
    window.addEventListener('offline', lost);
    connect();
    return () => {
      ended = true;
      again(null);
      window.removeEventListener('online', online);
      window.removeEventListener('offline', lost);
    };
  }, [org, onBuild]);

  const { items, link } = state;
  useEffect(() => {
    if (link === 'live') void keepAnnouncements(org, items);
  }, [org, items, link]);

  return state;
}

/** Asks once for the list. Null when there is no answer. */
async function poll(org: string): Promise<{ items: Announcement[]; fromServer: boolean } | null> {
  try {
    const response = await fetch(`/api/announcements/${org}`, { signal: AbortSignal.timeout(8_000) });
    if (!response.ok) return null;
    const { announcements } = (await response.json()) as { announcements: Announcement[] };
    return { items: announcements, fromServer: !response.headers.has('X-Kept') };
  } catch {
    return null;
  }
}
