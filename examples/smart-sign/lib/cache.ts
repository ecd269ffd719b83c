import { createClient } from 'redis';
import { backoffMs } from './backoff.ts';
import { env } from './env.ts';
import { log, reason } from './log.ts';
import { shared } from './shared.ts';

/**
 * A cache of queries in Redis, if there is one. It may be absent, slow or dead at any time: then the query is asked of
 * the database, and nobody waits for the cache longer than ANSWER_MS.
 */

const PREFIX = 'smart-sign:1:';
const ANSWER_MS = 150;
/** After an answer that did not come in time, nobody asks for so long. */
const PAUSE_MS = 5_000;

type Client = ReturnType<typeof connect>;

function connect(url: string) {
  const client = createClient({
    url,
    // Commands fail at once while the connection is down, instead of waiting for it.
    disableOfflineQueue: true,
    commandsQueueMaxLength: 500,
    socket: {
      connectTimeout: 2_000,
      reconnectStrategy: (attempt: number) => backoffMs({ firstMs: 250, limitMs: 15_000 }, attempt, Math.random()),
    },
  });
  let wasReady: boolean | null = null;
  client.on('ready', () => {
    wasReady = true;
    log('info', 'cache connected');
  });
  client.on('error', (error: unknown) => {
    // One line per loss, not one per attempt.
    if (wasReady !== false) log('warn', 'cache lost; asking the database', { reason: reason(error) });
    wasReady = false;
  });
  client.connect().catch((error: unknown) => log('warn', 'cache not used', { reason: reason(error) }));
  return client;
}

interface State {
  client: Client | null;
  pausedUntil: number;
}

function makeState(url: string): State {
  try {
    return { client: connect(url), pausedUntil: 0 };
  } catch (error) {
    log('error', 'REDIS_URL cannot be used; going on without a cache', { reason: reason(error) });
    return { client: null, pausedUntil: 0 };
  }
}

/** The answer, or undefined when there is none in time. */
async function attempt<T>(work: (client: Client) => Promise<T>): Promise<T | undefined> {
  const url = env.redisUrl();
  if (url === null) return undefined;
  const state = shared('cache', () => makeState(url));
  const { client } = state;
  if (!client?.isReady || Date.now() < state.pausedUntil) return undefined;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => {
      state.pausedUntil = Date.now() + PAUSE_MS;
      log('warn', 'the cache is slow; asking the database', { pause_ms: PAUSE_MS });
      resolve(undefined);
    }, ANSWER_MS);
  });
  try {
    // A command that fails after the deadline must not become an unhandled rejection.
    return await Promise.race([work(client).catch(() => undefined), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The cached value, or a fresh one that is kept for `seconds`. Values are plain JSON. Null is not kept. */
export async function cached<T>(key: string, seconds: number, load: () => Promise<T>): Promise<T> {
  const hit = await attempt((client) => client.get(PREFIX + key));
  if (typeof hit === 'string') {
    try {
      return JSON.parse(hit) as T;
    } catch {
      log('warn', 'cache entry is not JSON; replaced', { key });
    }
  }
  const value = await load();
  if (value !== null) await attempt((client) => client.set(PREFIX + key, JSON.stringify(value), { EX: seconds }));
  return value;
}

export async function forget(...keys: string[]): Promise<void> {
  await attempt((client) => client.del(keys.map((key) => PREFIX + key)));
}
