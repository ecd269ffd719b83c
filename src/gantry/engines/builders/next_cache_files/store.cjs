"use strict";
// One cache for all instances of a release. It lies in Redis, so that it survives the instance; what this process has seen of it
// is kept in memory too, for as long as Redis is away. Tags are revalidated through a log that every instance follows.

const v8 = require("node:v8");
const tags = require("next/dist/server/lib/incremental-cache/tags-manifest.external");
const { Redis } = require("./redis.cjs");

const MAX_MEMORY_BYTES = 32_000_000;
const MAX_ENTRY_BYTES = 8_000_000;
const MAX_TAGS = 10_000;
const MAX_UNSENT = 1000;
const READ_TAGS = 1000;
const KEPT_S = 30 * 86_400;
const FALLBACK_LIMIT_BYTES = 64_000_000;

const PREFIX = `gantry:next:${process.env.GANTRY_RELEASE}:`;
const LOG = `${PREFIX}tags`;
const REPLACED = `${PREFIX}replaced`;
// Of all releases together: the oldest entries of whichever make room.
const INDEX = "gantry:next:index";
const SIZES = "gantry:next:sizes";

// KEYS: entry, index, sizes. ARGV: value, now in ms, most bytes of all entries, seconds to keep it.
const PUT = `
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[4])
local before = tonumber(redis.call('HGET', KEYS[3], KEYS[1]) or '0')
redis.call('HSET', KEYS[3], KEYS[1], #ARGV[1])
redis.call('ZADD', KEYS[2], ARGV[2], KEYS[1])
local total = redis.call('HINCRBY', KEYS[3], 'total', #ARGV[1] - before)
while total > tonumber(ARGV[3]) do
  local oldest = redis.call('ZPOPMIN', KEYS[2])[1]
  if not oldest then break end
  local size = tonumber(redis.call('HGET', KEYS[3], oldest) or '0')
  redis.call('DEL', oldest)
  redis.call('HDEL', KEYS[3], oldest)
  total = redis.call('HINCRBY', KEYS[3], 'total', -size)
end
return total
`;

class Store {
  constructor(url) {
    this.memory = new Map(); // in the order of their last use
    this.memoryBytes = 0;
    this.seen = "0"; // the last record of the log that was read
    this.own = new Map(); // tags that this process revalidated lately, as they are now
    this.limit = FALLBACK_LIMIT_BYTES;
    this.redis = new Redis(url, (redis) => this.connected(redis));
  }

  // What this process revalidated is said again to a server that does not know it: it was away then, or has begun anew.
  async connected(redis) {
    const [info, known] = await redis.send([["INFO", "memory"], ["XLEN", LOG]]);
    const most = Number(/^maxmemory:(\d+)/m.exec(String(info))?.[1] ?? 0);
    this.limit = most > 0 ? most / 2 : FALLBACK_LIMIT_BYTES;
    if (this.unsent || known === 0) {
      this.unsent = false;
      if (this.own.size > 0) await redis.send([...this.own.keys()].map((tag) => record(tag)));
    }
  }

  // The entry of `key` and whether it replaced a page of the build. Tags are up to date afterwards.
  async get(key) {
    const [found, replaced, log] = await this.redis.ask([
      ["GET", PREFIX + key],
      ["SISMEMBER", REPLACED, key],
      ["XRANGE", LOG, `(${this.seen}`, "+", "COUNT", READ_TAGS],
    ]);
    if (log?.length > 0) await this.follow(log);
    if (found) {
      const entry = read(found);
      if (entry) this.remember(key, entry, found.length);
      return { entry, replaced: true };
    }
    return { entry: this.recall(key), replaced: replaced === 1 };
  }

  async put(key, entry, replaces) {
    const bytes = v8.serialize(entry);
    this.remember(key, entry, bytes.length);
    const mark = replaces ? [["SADD", REPLACED, key], ["EXPIRE", REPLACED, KEPT_S]] : [];
    if (bytes.length > MAX_ENTRY_BYTES) {
      await this.redis.ask([["DEL", PREFIX + key], ...mark]);
      return;
    }
    await this.redis.ask([
      ["EVAL", PUT, 3, PREFIX + key, INDEX, SIZES, bytes, Date.now(), Math.floor(this.limit), KEPT_S],
      ...mark,
    ]);
  }

  // Say what became of tags in this process's manifest.
  async publish(names) {
    for (const name of names) {
      this.own.delete(name);
      this.own.set(name, true);
      if (this.own.size > MAX_UNSENT) this.own.delete(this.own.keys().next().value);
    }
    const answers = await this.redis.ask([...names.map(record), ["EXPIRE", LOG, KEPT_S]]);
    if (answers.some((answer) => answer === undefined)) this.unsent = true;
  }

  // Read what other instances revalidated.
  async sync() {
    const [log] = await this.redis.ask([["XRANGE", LOG, `(${this.seen}`, "+", "COUNT", READ_TAGS]]);
    if (log?.length > 0) await this.follow(log);
  }

  async follow(log) {
    for (let records = log; records?.length > 0; ) {
      for (const [id, [, name, , value]] of records) {
        this.seen = String(id);
        merge(String(name), JSON.parse(String(value)));
      }
      if (records.length < READ_TAGS) return;
      [records] = await this.redis.ask([["XRANGE", LOG, `(${this.seen}`, "+", "COUNT", READ_TAGS]]);
    }
  }

  remember(key, entry, size) {
    this.forget(key);
    if (size > MAX_MEMORY_BYTES / 4) return;
    this.memory.set(key, { entry, size });
    this.memoryBytes += size;
    while (this.memoryBytes > MAX_MEMORY_BYTES) this.forget(this.memory.keys().next().value);
  }

  recall(key) {
    const kept = this.memory.get(key);
    if (!kept) return undefined;
    this.memory.delete(key);
    this.memory.set(key, kept);
    return kept.entry;
  }

  forget(key) {
    const kept = this.memory.get(key);
    if (!kept) return;
    this.memory.delete(key);
    this.memoryBytes -= kept.size;
  }
}

function record(name) {
  const value = JSON.stringify(tags.tagsManifest.get(name));
  return ["XADD", LOG, "MAXLEN", "~", MAX_TAGS, "*", "tag", name, "is", value];
}

// Next.js 16 keeps when a tag became stale and when it expires, 15 the moment of its revalidation. Later ones win.
function merge(name, value) {
  const have = tags.tagsManifest.get(name);
  if (typeof value === "number") {
    tags.tagsManifest.set(name, Math.max(value, have ?? 0));
    return;
  }
  const merged = { ...have };
  for (const [field, at] of Object.entries(value)) merged[field] = Math.max(at, merged[field] ?? 0);
  tags.tagsManifest.set(name, merged);
}

function read(bytes) {
  try {
    return v8.deserialize(bytes);
  } catch {
    return undefined; // of something else
  }
}

// Whether what was made at `time` is older than the revalidation of one of its tags.
function isExpired(names, time) {
  return (tags.areTagsExpired ?? tags.isStale)(names, time);
}

function isStale(names, time) {
  return tags.areTagsStale?.(names, time) ?? false;
}

// Bring the manifest of this process up to date: as Next.js does it itself, but for 15, which leaves a tag that it knows as it is.
function revalidate(names, durations) {
  const now = Date.now();
  for (const name of names) {
    if (!tags.areTagsExpired) tags.tagsManifest.set(name, now);
    else if (!durations) tags.tagsManifest.set(name, { ...tags.tagsManifest.get(name), expired: now });
    else {
      const expires = durations.expire === undefined ? {} : { expired: now + durations.expire * 1000 };
      tags.tagsManifest.set(name, { ...tags.tagsManifest.get(name), stale: now, ...expires });
    }
  }
}

let store;

// The one of this process.
function shared() {
  store ??= new Store(process.env.GANTRY_REDIS_URL);
  return store;
}

module.exports = { isExpired, isStale, revalidate, shared, tagsManifest: tags.tagsManifest };
