"use strict";
// `cacheHandler` of Next.js: pages, route handlers and fetched data. What nobody has made anew is read from the build.

const FileSystemCache = require("next/dist/server/lib/incremental-cache/file-system-cache").default;
const controls = require("next/dist/server/lib/incremental-cache/shared-cache-controls.external");
const { isExpired, revalidate, shared } = require("./store.cjs");

const TAGS_HEADER = "x-next-cache-tags";

module.exports = class SharedCache {
  constructor(context) {
    this.build = new FileSystemCache({ ...context, flushToDisk: false, maxMemoryCacheSize: 0 });
    this.revalidatedTags = context.revalidatedTags ?? [];
  }

  async get(key, context) {
    const { entry, replaced } = await shared().get(key);
    if (entry) return this.isGone(entry, context) ? null : this.known(key, entry);
    if (replaced || context.kind === "FETCH") return null;
    return this.build.get(key, context);
  }

  async set(key, data, context) {
    const cacheControl = context.fetchCache ? undefined : context.cacheControl;
    const entry = { value: data, lastModified: Date.now(), cacheControl };
    await shared().put(key, entry, !context.fetchCache && (await this.isBuilt(key, data, context)));
  }

  async revalidateTag(names, durations) {
    const list = typeof names === "string" ? [names] : names;
    if (list.length === 0) return;
    revalidate(list, durations);
    await shared().publish(list);
  }

  resetRequestCache() {}

  isGone(entry, context) {
    const names =
      context.kind === "FETCH"
        ? [...(context.tags ?? []), ...(context.softTags ?? [])]
        : String(entry.value?.headers?.[TAGS_HEADER] ?? "").split(",");
    return names.some((name) => this.revalidatedTags.includes(name)) || isExpired(names, entry.lastModified);
  }

  // Next.js 15 keeps the lifetime of a page in the process that made it.
  known(key, entry) {
    if (entry.cacheControl) {
      const route = key.replace(/(?:\/index)?\/?$/, "") || "/";
      controls.SharedCacheControls.cacheControls?.set?.(route, entry.cacheControl);
    }
    return entry;
  }

  async isBuilt(key, data, context) {
    for (const kind of data ? [data.kind] : ["APP_PAGE", "PAGES"]) {
      if (await this.build.get(key, { ...context, kind, isFallback: false })) return true;
    }
    return false;
  }
};
