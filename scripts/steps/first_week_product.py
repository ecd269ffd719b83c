"""The product of the first week: web, worker and cron, with rows in Postgres and numbers in Redis. Bare Python 3.11."""

import json
from pathlib import Path

SECRET = "0123456789abcdef"
ROWS = 500
SLOW_S = 6

_MANIFEST = """\
[project]
name = "shop"
[build]
framework = "node"
[processes.web]
command = "node server.mjs"
instances = 2
health = { path = "/health" }
[processes.worker.counter]
command = "node worker.mjs"
[processes.cron.minute]
schedule = "* * * * *"
command = "node cron.mjs"
[services]
postgres = true
redis = true
[release]
command = "node migrate.mjs"
[variables]
required = ["SESSION_SECRET"]
"""
_DATABASE = """\
import pg from 'pg';
import { createClient } from 'redis';
export const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 4 });
pool.on('error', () => {});
export const cache = createClient({ url: process.env.REDIS_URL });
cache.on('error', () => {});
export const count = (what) => pool.query(
  'INSERT INTO counts VALUES ($1, 1) ON CONFLICT (what) DO UPDATE SET times = counts.times + 1', [what]);
"""
# Rows of many types that nothing changes: what a move has to bring along, to the last byte.
_MIGRATE = f"""\
import {{ pool }} from './database.mjs';
await pool.query('CREATE TABLE IF NOT EXISTS counts (what text PRIMARY KEY, times integer NOT NULL)');
await pool.query(`CREATE TABLE IF NOT EXISTS notes (
  id serial PRIMARY KEY, words text, bytes bytea, amount numeric(20, 6), at timestamptz, more jsonb, tags text[])`);
await pool.query(`INSERT INTO notes (words, bytes, amount, at, more, tags)
  SELECT 'Größe ☂ ' || n, sha256(n::text::bytea), n / 7.0, timestamptz '2024-02-29 12:00+02' + n * interval '1 hour',
    jsonb_build_object('n', n, 'quote', 'a "b" \\\\ c'), ARRAY['x', NULL, n::text]
  FROM generate_series(1, {ROWS}) AS n WHERE NOT EXISTS (SELECT FROM notes)`);
await pool.end();
"""
_SERVER = f"""\
import http from 'node:http';
import {{ cache, count, pool }} from './database.mjs';
await cache.connect();
const rows = async (query) => (await pool.query(query)).rows;
const answers = {{
  '/health': () => 'ok',
  '/plain': () => process.env.GANTRY_RELEASE,
  '/slow': () => new Promise((done) => setTimeout(() => done('finished'), {SLOW_S * 1000})),
  '/rows': async () => (await rows('SELECT notes::text AS row FROM notes ORDER BY id')).map((found) => found.row).join('\\n'),
  '/write': async () => String((await rows("INSERT INTO notes (words) VALUES ('later') RETURNING id"))[0].id),
  '/': async () => {{
    await count('web');
    const found = Object.fromEntries((await rows('SELECT what, times FROM counts')).map((row) => [row.what, row.times]));
    found.redis = await cache.incr('visits');
    found.secret = process.env.SESSION_SECRET.length;
    return JSON.stringify(found);
  }},
}};
const server = http.createServer(async (request, response) => {{
  try {{
    const answer = answers[request.url];
    if (!answer) response.statusCode = 404;
    response.end(answer ? await answer() : 'nothing');
  }} catch (error) {{ response.statusCode = 500; response.end(String(error)); }}
}});
server.listen(process.env.PORT, process.env.HOST);
process.on('SIGTERM', () => {{ server.close(() => process.exit(0)); server.closeIdleConnections(); }});
"""
_WORKER = """\
import { count } from './database.mjs';
await count('worker');
setInterval(() => count('worker').catch(() => {}), 2000);
process.on('SIGTERM', () => process.exit(0));
"""
_CRON = """\
import { count, pool } from './database.mjs';
await count('cron');
console.log('counted');
await pool.end();
"""
_PACKAGE = {
    "name": "shop",
    "version": "1.0.0",
    "type": "module",
    "dependencies": {"pg": "^8", "redis": "^5"},
}


def write(folder: Path) -> None:
    """Write the product's repository."""
    folder.mkdir()
    files = {
        "gantry.toml": _MANIFEST,
        "package.json": json.dumps(_PACKAGE),
        "database.mjs": _DATABASE,
        "migrate.mjs": _MIGRATE,
        "server.mjs": _SERVER,
        "worker.mjs": _WORKER,
        "cron.mjs": _CRON,
    }
    for name, text in files.items():
        (folder / name).write_text(text)
