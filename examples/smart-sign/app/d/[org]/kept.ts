import type { Announcement } from '@/lib/announcement';

/** What a display keeps on the device for the time without a network. All of it may be turned off there. */

// The service worker reads this cache; the name is also in public/sw.js.
const DATA_CACHE = 'smart-sign-data';

/** Gives the service worker the newest list to answer with. */
export async function keepAnnouncements(org: string, announcements: Announcement[]): Promise<void> {
  if (!('caches' in window)) return;
  try {
    const cache = await caches.open(DATA_CACHE);
    const headers = { 'Content-Type': 'application/json', 'X-Kept': new Date().toISOString() };
    await cache.put(`/api/announcements/${org}`, new Response(JSON.stringify({ announcements }), { headers }));
  } catch {
    // No room or no permission: the display then keeps only what it has in memory.
  }
}

const lastLiveKey = (org: string) => `smart-sign:last-live:${org}`;

export function readLastLive(org: string): number | null {
  try {
    return Number(localStorage.getItem(lastLiveKey(org))) || null;
  } catch {
    return null;
  }
}

export function writeLastLive(org: string): void {
  try {
    localStorage.setItem(lastLiveKey(org), String(Date.now()));
  } catch {
    // The offline mark then has no time after a reload.
  }
}
