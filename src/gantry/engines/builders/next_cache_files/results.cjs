"use strict";
// `cacheHandlers` of Next.js 16: results of "use cache". As its own handler, but for where they are kept.

const { isExpired, isStale, revalidate, shared, tagsManifest } = require("./store.cjs");

const PREFIX = "use cache:";
const pending = new Map();

module.exports = {
  async get(key) {
    await pending.get(key);
    const { entry } = await shared().get(PREFIX + key);
    if (!entry || entry.expire < 0 || Date.now() > entry.timestamp + entry.revalidate * 1000) return undefined;
    if (isExpired(entry.tags, entry.timestamp)) return undefined;
    const revalidateS = isStale(entry.tags, entry.timestamp) ? -1 : entry.revalidate;
    return { ...entry, revalidate: revalidateS, value: new Blob([entry.value]).stream() };
  },

  async set(key, promised) {
    let done;
    pending.set(key, new Promise((resolve) => (done = resolve)));
    try {
      const { value, ...entry } = await promised;
      if (entry.expire === 0) return; // made anew each time
      const chunks = [];
      for await (const chunk of value) chunks.push(chunk);
      await shared().put(PREFIX + key, { ...entry, value: Buffer.concat(chunks) }, false);
    } catch {
      // A result that broke off is not kept.
    } finally {
      done();
      pending.delete(key);
    }
  },

  async refreshTags() {
    await shared().sync();
  },

  async getExpiration(names) {
    return Math.max(0, ...names.map((name) => tagsManifest.get(name)?.expired ?? 0));
  },

  async updateTags(names, durations) {
    revalidate(names, durations);
    await shared().publish(names);
  },
};
