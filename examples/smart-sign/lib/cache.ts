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

function readyClient(): Client | null {
  const url = env.redisUrl();
  if (url === null) return null;
  const { client } = shared('cache', () => {
    try {
      return { client: connect(url) };
    } catch (error) {
      log('error', 'REDIS_URL cannot be used; going on without a cache', { reason: reason(error) });
      return { client: null };
    }
  });
  return client?.isReady ? client : null;
}

/** The answer, or undefined when there is none in time. */
async function attempt<T>(work: (client: Client) => Promise<T>): Promise<T | undefined> {
  const client = readyClient();
  if (!client) return undefined;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), ANSWER_MS);
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
