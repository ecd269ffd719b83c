import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { env } from './env.ts';
import { log, reason } from './log.ts';
import { shared } from './shared.ts';

const RETRY_AFTER_MS = 150;

function makePool(): pg.Pool {
  const pool = new pg.Pool({
    connectionString: env.databaseUrl(),
    application_name: 'smart-sign',
    max: 5,
    connectionTimeoutMillis: 2_500,
    idleTimeoutMillis: 30_000,
    statement_timeout: 5_000,
    query_timeout: 6_000,
    keepAlive: true,
  });
  // An idle connection that dies (the database was restarted) is reported here; without a listener the process ends.
  pool.on('error', (error) => log('warn', 'idle database connection lost', { reason: error.message }));
  return pool;
}

const pool = (): pg.Pool => shared('pool', makePool);

const LOST_CODES = new Set(['57P01', '57P02', '57P03', 'ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ENOENT', 'ETIMEDOUT']);
const LOST_MESSAGE = /connection terminated|connection error and is not queryable|client was closed/i;

/** Whether the connection failed rather than the query: class 08, a server that shuts down or starts, a closed socket. */
export function isConnectionLoss(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = (error as { code?: unknown }).code;
  if (typeof code === 'string' && (LOST_CODES.has(code) || /^08[0-9A-Z]{3}$/.test(code))) return true;
  return LOST_MESSAGE.test(error.message);
}

/**
 * Runs one statement, once more when the connection was lost.
 *
 * A statement whose answer was lost may have run, so `once: true` is for those that must not run twice.
 */
export async function query<Row extends pg.QueryResultRow>(
  text: string,
  values: unknown[] = [],
  { once = false }: { once?: boolean } = {},
): Promise<pg.QueryResult<Row>> {
  try {
    return await pool().query<Row>(text, values);
  } catch (error) {
    if (once || !isConnectionLoss(error)) throw error;
    log('warn', 'query repeated after a lost connection', { reason: reason(error) });
    await sleep(RETRY_AFTER_MS);
    return pool().query<Row>(text, values);
  }
}

/** A connection of its own, outside the pool, for LISTEN. The caller connects and ends it. */
export function dedicatedClient(): pg.Client {
  return new pg.Client({
    connectionString: env.databaseUrl(),
    application_name: 'smart-sign listen',
    connectionTimeoutMillis: 5_000,
    query_timeout: 5_000,
    keepAlive: true,
  });
}

const PROBE_KEPT_MS = 1_000;
const PROBE_TIMEOUT_MS = 2_000;

interface Probe {
  at: number;
  result: Promise<boolean>;
}

/** Whether the database answers. Probes within a second share one query, so that health checks stay cheap. */
export function databaseAnswers(now: number): Promise<boolean> {
  const state = shared<{ probe: Probe | null }>('probe', () => ({ probe: null }));
  if (!state.probe || now - state.probe.at >= PROBE_KEPT_MS) {
    state.probe = { at: now, result: probe() };
  }
  return state.probe.result;
}

async function probe(): Promise<boolean> {
  const timeout = sleep(PROBE_TIMEOUT_MS, false, { ref: false });
  const answer = query('SELECT 1').then(
    () => true,
    (error: unknown) => {
      log('warn', 'the database does not answer', { reason: reason(error) });
      return false;
    },
  );
  return Promise.race([answer, timeout]);
}
