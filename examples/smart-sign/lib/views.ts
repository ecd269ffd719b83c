import { isId, isSlug } from './announcement.ts';

/** Views of announcements on one display, collected for a while and sent together. */

export const VIEWS_BODY_LIMIT_BYTES = 4096;
export const VIEWS_ENTRIES_LIMIT = 50;
export const VIEWS_COUNT_LIMIT = 100;

export interface ViewBatch {
  org: string;
  views: { id: string; count: number }[];
}

export type ParsedViews = { ok: true; value: ViewBatch } | { ok: false; message: string };

const refuse = (message: string): ParsedViews => ({ ok: false, message });

/** Checks a batch that came over the network. Entries of one announcement are added up. */
export function parseViews(input: unknown): ParsedViews {
  if (typeof input !== 'object' || input === null) return refuse('The body has to be an object with org and views.');
  const { org, views } = input as { org?: unknown; views?: unknown };
  if (!isSlug(org)) return refuse('org has to be the short name of a community.');
  if (!Array.isArray(views) || views.length === 0 || views.length > VIEWS_ENTRIES_LIMIT) {
    return refuse(`views has to be a list of 1 to ${VIEWS_ENTRIES_LIMIT} entries.`);
  }
  const counts = new Map<string, number>();
  for (const entry of views as unknown[]) {
    const { id, count } = (entry ?? {}) as { id?: unknown; count?: unknown };
    if (!isId(id)) return refuse('Every entry needs the id of an announcement.');
    if (!Number.isInteger(count) || (count as number) < 1 || (count as number) > VIEWS_COUNT_LIMIT) {
      return refuse(`Every count has to be a whole number from 1 to ${VIEWS_COUNT_LIMIT}.`);
    }
    counts.set(id, Math.min(VIEWS_COUNT_LIMIT, (counts.get(id) ?? 0) + (count as number)));
  }
  return { ok: true, value: { org, views: [...counts].map(([id, count]) => ({ id, count })) } };
}

/** The display's side: counts until a batch is taken; puts it back when it could not be sent. Never grows beyond a batch. */
export class ViewCounter {
  private counts = new Map<string, number>();

  add(id: string, count = 1): void {
    if (!this.counts.has(id) && this.counts.size >= VIEWS_ENTRIES_LIMIT) return;
    this.counts.set(id, Math.min(VIEWS_COUNT_LIMIT, (this.counts.get(id) ?? 0) + count));
  }

  take(org: string): ViewBatch | null {
    if (this.counts.size === 0) return null;
    const views = [...this.counts].map(([id, count]) => ({ id, count }));
    this.counts = new Map();
    return { org, views };
  }

  restore(batch: ViewBatch): void {
    for (const { id, count } of batch.views) this.add(id, count);
  }
}
