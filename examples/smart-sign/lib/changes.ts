import type { Announcement } from './announcement.ts';

export interface Changes {
  upserts: Announcement[];
  /** ids */
  removals: string[];
}

/** What a display that has `before` must be told so that it has `after`. */
export function changesBetween(before: readonly Announcement[], after: readonly Announcement[]): Changes {
  const old = new Map(before.map((item) => [item.id, item]));
  const kept = new Set(after.map((item) => item.id));
  return {
    upserts: after.filter((item) => !sameContent(old.get(item.id), item)),
    removals: before.filter((item) => !kept.has(item.id)).map((item) => item.id),
  };
}

/** The other side of `changesBetween`. */
export function applyChanges(items: readonly Announcement[], { upserts, removals }: Changes): Announcement[] {
  const next = new Map(items.map((item) => [item.id, item]));
  for (const id of removals) next.delete(id);
  for (const item of upserts) next.set(item.id, item);
  return [...next.values()];
}

function sameContent(a: Announcement | undefined, b: Announcement): boolean {
  return a !== undefined && JSON.stringify(a) === JSON.stringify(b);
}
