import { useCallback, useEffect, useRef } from 'react';

/** Registers the service worker of this build and has it keep this page for the time without a network. */
export function useServiceWorker(build: string): void {
  useEffect(() => {
    if (!('serviceWorker' in navigator)) return;
    // The build in the address makes every deploy a new worker with caches of its own.
    const address = `/sw.js?v=${encodeURIComponent(build)}`;
    navigator.serviceWorker
      .register(address, { updateViaCache: 'none' })
      .then(async (registration) => {
        const worker = registration.installing ?? registration.waiting ?? registration.active;
        if (worker && worker.state !== 'activated') await activated(worker);
        registration.active?.postMessage({ type: 'keep', url: location.pathname + location.search });
      })
      .catch((error: unknown) => console.warn('This display will not survive a reload without a network:', error));
  }, [build]);
}

function activated(worker: ServiceWorker): Promise<void> {
  return new Promise((resolve) => {
    worker.addEventListener('statechange', () => {
      if (worker.state === 'activated' || worker.state === 'redundant') resolve();
    });
  });
}

const RELOADED_KEY = 'smart-sign:reloaded-for';
const RELOAD_AGAIN_MS = 10 * 60_000;

/**
 * Reloads the page when the server that answers the stream was built from something else: screens are never reloaded
 * by hand. While a rollout shares traffic between two builds, page and stream may come from different ones, so it
 * happens at most once in ten minutes per build.
 */
export function useReloadOnNewBuild(build: string): (serverBuild: string) => void {
  const mine = useRef(build);
  mine.current = build;
  return useCallback((serverBuild: string) => {
    if (serverBuild === mine.current) return;
    try {
      const [last, at] = (sessionStorage.getItem(RELOADED_KEY) ?? '').split(' ');
      if (last === serverBuild && Date.now() - Number(at) < RELOAD_AGAIN_MS) return;
      sessionStorage.setItem(RELOADED_KEY, `${serverBuild} ${Date.now()}`);
    } catch {
      return; // Without a memory it could reload for ever; the next load by hand will do.
    }
    location.reload();
  }, []);
}

/** Keeps the screen from going dark, where the device allows it. */
export function useWakeLock(): void {
  useEffect(() => {
    let lock: WakeLockSentinel | null = null;
    const request = async () => {
      if (document.visibilityState !== 'visible') return;
      // Refused when the battery is low: then the device knows better.
      lock = await navigator.wakeLock?.request('screen').catch(() => null);
    };
    void request();
    document.addEventListener('visibilitychange', request);
    return () => {
      document.removeEventListener('visibilitychange', request);
      void lock?.release();
    };
  }, []);
}
