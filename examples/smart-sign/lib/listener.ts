import type pg from 'pg';
import { backoffMs } from './backoff.ts';
import { dedicatedClient } from './database.ts';
import { log, reason } from './log.ts';

const CHANNEL = 'smart_sign_announcements';
const PROBE_EVERY_MS = 30_000;

export interface ListenerEvents {
  /** a community's announcements changed */
  changed(slug: string): void;
  /** listening again after a gap in which notifications may have been lost */
  restored(): void;
}

/** The one LISTEN connection of this process. It comes back by itself, for as long as the process lives. */
export class Listener {
  private readonly events: ListenerEvents;
  private client: pg.Client | null = null;
  private attempt = 0;
  private started = false;

  constructor(events: ListenerEvents) {
    this.events = events;
  }

  start(): void {
    if (this.started) return;
    this.started = true;
    void this.connect();
    // A connection whose other end vanished without a word looks alive until it is used.
    setInterval(() => void this.probe(), PROBE_EVERY_MS).unref();
  }

  private async connect(): Promise<void> {
    const client = dedicatedClient();
    client.on('error', (error) => this.lost(client, error.message));
    client.on('end', () => this.lost(client, 'closed'));
    client.on('notification', ({ payload }) => payload && this.events.changed(payload));
    this.client = client;
    try {
      await client.connect();
      await client.query(`LISTEN ${CHANNEL}`);
      this.attempt = 0;
      log('info', 'listening for changes');
      this.events.restored();
    } catch (error) {
      this.lost(client, reason(error));
    }
  }

  private lost(client: pg.Client, why: string): void {
    // Several events may tell of the same loss, and of a connection that was already replaced.
    if (this.client !== client) return;
    this.client = null;
    const waitMs = backoffMs({ firstMs: 500, limitMs: 15_000 }, this.attempt, Math.random());
    this.attempt += 1;
    log('warn', 'not listening for changes', { reason: why, retry_in_ms: waitMs });
    client.end().catch(() => undefined);
    setTimeout(() => void this.connect(), waitMs).unref();
  }

  private async probe(): Promise<void> {
    const { client } = this;
    if (!client) return;
    try {
      await client.query('SELECT 1');
    } catch (error) {
      this.lost(client, reason(error));
    }
  }
}
