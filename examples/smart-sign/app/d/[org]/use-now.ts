import { useEffect, useState } from 'react';

/**
 * The server's time, ticking every second. Screens often have a wrong clock, and an announcement must not end early or
 * late because of it: `skewMs` is what the server's clock is ahead.
 */
export function useNow(initial: number, skewMs: number | null): number {
  const [now, setNow] = useState(initial);
  useEffect(() => {
    if (skewMs === null) return;
    const tick = () => setNow(Date.now() + skewMs);
    tick();
    const timer = setInterval(tick, 1_000);
    return () => clearInterval(timer);
  }, [skewMs]);
  return now;
}
