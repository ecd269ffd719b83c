import { useEffect, useRef } from 'react';
import { ViewCounter, type ViewBatch } from '@/lib/views';

/** Shorter than this, nobody has seen it. */
const SEEN_AFTER_MS = 3_000;
const SEND_EVERY_MS = 30_000;

/** Counts what is shown, and sends the counts now and then. `turn` tells a second showing of one announcement apart. */
export function useViews(org: string, shownId: string | null, turn: number): void {
  const counter = useRef<ViewCounter>(null);
  counter.current ??= new ViewCounter();

  useEffect(() => {
    if (shownId === null) return;
    const timer = setTimeout(() => {
      if (document.visibilityState === 'visible') counter.current?.add(shownId);
    }, SEEN_AFTER_MS);
    return () => clearTimeout(timer);
  }, [shownId, turn]);

  useEffect(() => {
    const flush = async () => {
      const batch = counter.current?.take(org);
      if (batch && !(await sent(batch))) counter.current?.restore(batch);
    };
    const leave = () => {
      const batch = counter.current?.take(org);
      if (batch) navigator.sendBeacon('/api/views', new Blob([JSON.stringify(batch)], { type: 'application/json' }));
    };
    const timer = setInterval(() => void flush(), SEND_EVERY_MS);
    window.addEventListener('pagehide', leave);
    return () => {
      clearInterval(timer);
      window.removeEventListener('pagehide', leave);
    };
  }, [org]);
}

/** False when it is worth sending again; a batch that the server refuses as wrong never gets better. */
async function sent(batch: ViewBatch): Promise<boolean> {
  try {
    const response = await fetch('/api/views', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(batch),
      signal: AbortSignal.timeout(8_000),
    });
    return response.status < 500 && response.status !== 429;
  } catch {
    return false;
  }
}
