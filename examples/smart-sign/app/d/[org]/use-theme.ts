import { useSyncExternalStore } from 'react';
import { isNight } from '@/lib/time';

/** time: by the hour at the place of the community; system: what the device prefers */
export type Theme = 'time' | 'system' | 'light' | 'dark';

const QUERY = '(prefers-color-scheme: dark)';

function subscribe(changed: () => void): () => void {
  const list = matchMedia(QUERY);
  list.addEventListener('change', changed);
  return () => list.removeEventListener('change', changed);
}

export function useDark(theme: Theme, now: number, timezone: string): boolean {
  const systemDark = useSyncExternalStore(
    subscribe,
    () => matchMedia(QUERY).matches,
    () => false,
  );
  if (theme === 'light' || theme === 'dark') return theme === 'dark';
  return theme === 'system' ? systemDark : isNight(now, timezone);
}
