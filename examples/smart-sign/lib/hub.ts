import type { Announcement } from './announcement.ts';
import { changesBetween } from './changes.ts';
import { env } from './env.ts';
import { frame } from './frames.ts';
import { Listener } from './listener.ts';
import { log, reason } from './log.ts';
import { shared } from './shared.ts';
import { forgetAnnouncements, loadForDisplay } from './store.ts';

/**
 * The streams of all displays of this process.
 *
 * Level-triggered: a notification only says "look again". The hub reads the community's announcements, compares them
 * with what its displays have, and sends the difference. A display that connects gets everything. So a notification
 * or a connection that is lost costs time, never an announcement.
 */

const HEARTBEAT_MS = 15_000;
/** Announcements that enter the coming week raise no notification. */
const RESYNC_MS = 5 * 60_000;
const RETRY_MS = 2_000;
const STREAM_LIMIT = 2_000;
/** A display this far behind is not reading; it reconnects and starts from everything. */
const BACKLOG_LIMIT = 64;

interface Display {
  send(text: string): void;
  close(): void;
}

interface Channel {
  displays: Set<Display>;
  /** null until the database answered once */
  items: Announcement[] | null;
  syncing: boolean;
  again: boolean;
}

export class Hub {
  private readonly channels = new Map<string, Channel>();
  private readonly listener = new Listener({
    changed: (slug) => {
      void forgetAnnouncements(slug);
      void this.sync(slug);
    },
    restored: () => this.syncAll(),
  });
  private open = 0;
  private started = false;
  draining = false;

  get full(): boolean {
    return this.open >= STREAM_LIMIT;
  }

  /** A stream of one display. It ends when the display goes away, falls behind, or the process drains. */
  stream(slug: string, signal: AbortSignal): ReadableStream<Uint8Array> {
    const encoder = new TextEncoder();
    let display: Display | null = null;
    let closed = false;
    const leave = () => {
      if (display) this.leave(slug, display);
      display = null;
    };
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          const close = () => {
            if (closed) return;
            closed = true;
            leave();
            controller.close();
          };
          const send = (text: string) => {
            if (closed) return;
            if ((controller.desiredSize ?? 0) <= -BACKLOG_LIMIT) return close();
            controller.enqueue(encoder.encode(text));
          };
          send(frame('hello', { now: Date.now(), build: env.build(), release: env.release(), instance: env.instance() }));
          if (this.draining) {
            send(frame('reconnect', {}));
            return close();
          }
          display = { send, close };
          signal.addEventListener('abort', close, { once: true });
          if (signal.aborted) return close();
          this.join(slug, display);
        },
        cancel: () => {
          closed = true;
          leave();
        },
      },
      { highWaterMark: 16 },
    );
  }

  /** Sends every display to another instance and ends its stream. Streams opened from now on end at once. */
  drain(): void {
    this.draining = true;
    const displays = [...this.channels.values()].flatMap((channel) => [...channel.displays]);
    for (const display of displays) {
      display.send(frame('reconnect', {}));
      display.close();
    }
    log('info', 'draining', { streams: displays.length });
  }

  private start(): void {
    if (this.started) return;
    this.started = true;
    this.listener.start();
    setInterval(() => this.broadcast(frame('heartbeat', { now: Date.now() })), HEARTBEAT_MS).unref();
    setInterval(() => this.syncAll(), RESYNC_MS).unref();
  }

  private join(slug: string, display: Display): void {
    this.start();
    let channel = this.channels.get(slug);
    if (!channel) {
      channel = { displays: new Set(), items: null, syncing: false, again: false };
      this.channels.set(slug, channel);
    }
    channel.displays.add(display);
    this.open += 1;
    if (channel.items) display.send(frame('snapshot', { announcements: channel.items }));
    // Also when there was a list: what this display gets first must not be older than the moment it asked.
    void this.sync(slug);
  }

  private leave(slug: string, display: Display): void {
    const channel = this.channels.get(slug);
    if (!channel?.displays.delete(display)) return;
    this.open -= 1;
    if (channel.displays.size === 0) this.channels.delete(slug);
  }

  private syncAll(): void {
    for (const slug of this.channels.keys()) void this.sync(slug);
  }

  /** Reads a community's announcements and tells its displays. One read at a time; requests meanwhile become one more. */
  private async sync(slug: string): Promise<void> {
    const channel = this.channels.get(slug);
    if (!channel || this.draining) return;
    if (channel.syncing) {
      channel.again = true;
      return;
    }
    channel.syncing = true;
    try {
      do {
        channel.again = false;
        this.publish(channel, await loadForDisplay(slug));
      } while (channel.again);
    } catch (error) {
      log('warn', 'announcements not read', { community: slug, reason: reason(error) });
      setTimeout(() => void this.sync(slug), RETRY_MS).unref();
    } finally {
      channel.syncing = false;
    }
  }

  private publish(channel: Channel, items: Announcement[]): void {
    const before = channel.items;
    channel.items = items;
    if (before === null) {
      const text = frame('snapshot', { announcements: items });
      for (const display of [...channel.displays]) display.send(text);
      return;
    }
    const changes = changesBetween(before, items);
    if (changes.upserts.length === 0 && changes.removals.length === 0) return;
    const text = frame('change', changes);
    for (const display of [...channel.displays]) display.send(text);
  }

  private broadcast(text: string): void {
    for (const channel of this.channels.values()) {
      for (const display of [...channel.displays]) display.send(text);
    }
  }
}

export const hub = (): Hub => shared('hub', () => new Hub());
