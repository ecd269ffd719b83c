// Applies migrations/*.sql in order, each in its own transaction, and records it with a checksum.
//
// Migrations only expand the schema (new tables, new columns with defaults): the release that is running keeps working
// while this runs and after a rollback. Several copies may start at once; an advisory lock lets one work at a time.
import { createHash } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { seedWhenEmpty } from './seed.mjs';

const FOLDER = path.join(import.meta.dirname, '..', 'migrations');
const NAME = /^\d{4}_[a-z0-9_]+\.sql$/;
const LOCK_KEY = 7_460_118;
const LOCK_WAIT_MS = 60_000;
const CONNECT_DEADLINE_MS = 30_000;

class MigrationError extends Error {}

async function readMigrations() {
  const names = (await readdir(FOLDER)).filter((name) => name.endsWith('.sql')).sort();
  const wrong = names.find((name) => !NAME.test(name));
  if (wrong) throw new MigrationError(`migrations/${wrong}: a name has the form 0001_what_it_adds.sql`);
  return Promise.all(
    names.map(async (name) => {
      // A checkout with other line ends is the same migration.
      const sql = (await readFile(path.join(FOLDER, name), 'utf8')).replaceAll('\r\n', '\n');
      return { name, sql, checksum: createHash('sha256').update(sql).digest('hex') };
    }),
  );
}

/** A database that was just created or restarted may need a moment; a wrong password will not get better. */
async function connect(url) {
  const deadline = Date.now() + CONNECT_DEADLINE_MS;
  for (;;) {
    const client = new pg.Client({
      connectionString: url,
      connectionTimeoutMillis: 5_000,
      application_name: 'smart-sign migrate',
    });
    client.on('error', (error) => console.error(`migrate: connection: ${error.message}`));
    try {
      await client.connect();
      return client;
    } catch (error) {
      await client.end().catch(() => undefined);
      const starting = ['57P03', 'ECONNREFUSED', 'ECONNRESET', 'ENOENT', 'EAI_AGAIN'].includes(error.code);
      if (!starting || Date.now() > deadline) throw error;
      await sleep(500);
    }
  }
}

async function inTransaction(client, work) {
  await client.query('BEGIN');
  try {
    const result = await work();
    await client.query('COMMIT');
    return result;
  } catch (error) {
    // The connection may be what failed: the first error is the one to show.
    await client.query('ROLLBACK').catch(() => undefined);
    throw error;
  }
}

async function lock(client) {
  await client.query(`SET lock_timeout = ${LOCK_WAIT_MS}`);
  try {
    await client.query('SELECT pg_advisory_lock($1)', [LOCK_KEY]);
  } catch (error) {
    if (error.code !== '55P03') throw error;
    throw new MigrationError(`another migration has held the lock for ${LOCK_WAIT_MS / 1000} s; try again when it is done`);
  }
  // From here on: give up rather than queue the traffic of the running release behind a table lock.
  await client.query("SET lock_timeout = '5s'");
}

async function applyAll(client, migrations) {
  await client.query(`
    CREATE TABLE IF NOT EXISTS schema_migrations (
      name text PRIMARY KEY,
      checksum text NOT NULL,
      applied_at timestamptz NOT NULL DEFAULT now()
    )`);
  const { rows } = await client.query('SELECT name, checksum FROM schema_migrations');
  const recorded = new Map(rows.map((row) => [row.name, row.checksum]));
  const edited = migrations.filter(({ name, checksum }) => recorded.has(name) && recorded.get(name) !== checksum);
  if (edited.length > 0) {
    const names = edited.map(({ name }) => `migrations/${name}`).join(', ');
    throw new MigrationError(`${names}: changed after it was applied; restore it and write a new migration instead`);
  }
  const pending = migrations.filter(({ name }) => !recorded.has(name));
  for (const { name, sql, checksum } of pending) {
    const started = Date.now();
    await inTransaction(client, async () => {
      await client.query(sql);
      await client.query('INSERT INTO schema_migrations (name, checksum) VALUES ($1, $2)', [name, checksum]);
    }).catch((error) => {
      throw new MigrationError(`migrations/${name}: ${error.message}`, { cause: error });
    });
    console.log(`migrate: ${name} applied in ${Date.now() - started} ms`);
  }
  return pending.length;
}

async function main() {
  const url = process.env.DATABASE_URL;
  if (!url) throw new MigrationError('DATABASE_URL is not set; see .env.example');
  const migrations = await readMigrations();
  const client = await connect(url);
  try {
    await lock(client);
    const applied = await applyAll(client, migrations);
    const seeded = await inTransaction(client, () => seedWhenEmpty(client));
    console.log(`migrate: ${applied} applied, ${migrations.length - applied} already there${seeded ? ', demo added' : ''}`);
  } finally {
    // Ending the session releases the lock.
    await client.end().catch(() => undefined);
  }
}

main().catch((error) => {
  console.error(`migrate: ${error instanceof MigrationError ? error.message : `${error.code ?? error.name}: ${error.message}`}`);
  process.exitCode = 1;
});
