// Keeps a display running when the network is gone.
//
//   /d/…                  network first; the kept page when the network or the server fails
//   /_next/static/…       kept first: the names contain a hash of the content, so a kept file is never stale
//   /api/announcements/…  network first; the list that the page kept last
//
// Everything else, the admin first of all, passes by untouched. Each build registers this file with its own ?v=, which
// makes it a new worker with caches of its own. The caches of the build before are deleted only once the new page and
// all of its files are kept, so there is no moment in which a display could not survive a reload.
'use strict';

const VERSION = new URL(self.location.href).searchParams.get('v') || 'local';
const PAGES = `smart-sign-pages-${VERSION}`;
const STATIC = `smart-sign-static-${VERSION}`;
const DATA = 'smart-sign-data'; // written by the page, see app/d/[org]/kept.ts
const NETWORK_MS = 6000;
const STATIC_LIMIT = 120;

self.addEventListener('install', (event) => {
  // Beacons of a page that is going away are lost on the way through a worker, and streams gain nothing from it.
  const paths = ['/api/views', '/api/stream/*'];
  const rules = () =>
    paths.map((pathname) => ({ condition: { urlPattern: new URLPattern({ pathname }) }, source: 'network' }));
  // Older browsers have no routes: there everything goes through the worker, which lets it pass.
  const routed = Promise.resolve(event.addRoutes?.(rules())).catch((error) => console.warn('no routes:', error));
  event.waitUntil(routed.then(() => self.skipWaiting()));
});
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));

self.addEventListener('message', (event) => {
  const { type, url } = event.data ?? {};
  if (type !== 'keep' || typeof url !== 'string' || !url.startsWith('/d/')) return;
  // A failure leaves everything as it was; the next load of the page asks again.
  event.waitUntil(keep(url).then(removeOldCaches).catch((error) => console.warn('not kept:', error)));
});

self.addEventListener('fetch', (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== 'GET' || url.origin !== self.location.origin) return;
  if (request.mode === 'navigate' && url.pathname.startsWith('/d/')) event.respondWith(page(request));
  else if (url.pathname.startsWith('/_next/static/')) event.respondWith(asset(request));
  else if (url.pathname.startsWith('/api/announcements/')) event.respondWith(data(request));
});

/** The files first and the page last: a page that is kept can always be shown. */
async function keep(url) {
  const response = await fetch(url, { cache: 'no-store' });
  if (!response.ok || response.redirected) throw new Error(`${url} answered ${response.status}`);
  const html = await response.clone().text();
  const files = new Set(html.match(/\/_next\/static\/[^"'\\\s<>)]+/g) ?? []);
  const cache = await caches.open(STATIC);
  await Promise.all(
    [...files].map(async (file) => {
      if (await cache.match(file)) return;
      const kept = (await caches.match(file)) ?? (await fetch(file));
      if (!kept.ok) throw new Error(`${file} answered ${kept.status}`);
      await cache.put(file, kept);
    }),
  );
  await (await caches.open(PAGES)).put(url, response);
}

async function removeOldCaches() {
  const current = new Set([PAGES, STATIC, DATA]);
  const names = await caches.keys();
  await Promise.all(
    names.filter((name) => name.startsWith('smart-sign-') && !current.has(name)).map((name) => caches.delete(name)),
  );
}

async function page(request) {
  const kept = async () =>
    (await (await caches.open(PAGES)).match(request, { ignoreSearch: true })) ??
    (await caches.match(request, { ignoreSearch: true }));
  try {
    const response = await fetch(request, { signal: AbortSignal.timeout(NETWORK_MS) });
    return response.status >= 500 ? ((await kept()) ?? response) : response;
  } catch {
    return (await kept()) ?? unavailable();
  }
}

async function asset(request) {
  const kept = await caches.match(request);
  if (kept) return kept;
  const response = await fetch(request);
  if (response.ok) {
    const cache = await caches.open(STATIC);
    await cache.put(request, response.clone());
    const keys = await cache.keys();
    await Promise.all(keys.slice(0, Math.max(0, keys.length - STATIC_LIMIT)).map((key) => cache.delete(key)));
  }
  return response;
}

async function data(request) {
  const kept = () => caches.open(DATA).then((cache) => cache.match(request));
  try {
    const response = await fetch(request, { signal: AbortSignal.timeout(NETWORK_MS) });
    return response.status >= 500 ? ((await kept()) ?? response) : response;
  } catch {
    return (await kept()) ?? unavailable();
  }
}

function unavailable() {
  return new Response(
    '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="10"><title>Offline</title>' +
      '<p style="font:1.5rem system-ui;margin:3rem">No network yet. Trying again every ten seconds.</p>',
    { status: 503, headers: { 'Content-Type': 'text/html; charset=utf-8' } },
  );
}
