import { phaseOf, type Announcement } from './announcement.ts';

const newestFirst = (a: Announcement, b: Announcement): number =>
  Date.parse(b.startsAt) - Date.parse(a.startsAt) || Number(BigInt(b.id) - BigInt(a.id));

/**
 * The slides of one round. Only current announcements, newest first. While there is something urgent it takes every
 * second slide, so that nobody who looks for a quarter of a minute can miss it.
 */
export function rotation(items: readonly Announcement[], now: number): Announcement[] {
  const current = items.filter((item) => phaseOf(item, now) === 'current').sort(newestFirst);
  const urgent = current.filter((item) => item.type === 'urgent');
  const others = current.filter((item) => item.type !== 'urgent');
  if (urgent.length === 0 || others.length === 0) return [...urgent, ...others];
  const pairs = Math.max(urgent.length, others.length);
  return Array.from({ length: pairs * 2 }, (_, slide) => {
    const from = slide % 2 === 0 ? urgent : others;
    return from[Math.floor(slide / 2) % from.length]!;
  });
}

/**
 * Where to continue when the slides have changed: on the announcement that is being shown if it is still there
 * (at the nearest of its slides), else at the same place.
 */
export function relocate(slides: readonly Announcement[], shownId: string | null, position: number): number {
  if (slides.length === 0) return 0;
  let best = -1;
  for (const [index, slide] of slides.entries()) {
    if (slide.id === shownId && (best < 0 || Math.abs(index - position) < Math.abs(best - position))) best = index;
  }
  return best >= 0 ? best : Math.min(position, slides.length - 1);
}

/** The urgent announcement that was not there before, if any: a display jumps to it at once. */
export function newUrgent(before: readonly Announcement[], after: readonly Announcement[]): Announcement | null {
  const known = new Set(before.filter((item) => item.type === 'urgent').map((item) => item.id));
  return after.find((item) => item.type === 'urgent' && !known.has(item.id)) ?? null;
}

const WORDS_PER_SECOND = 2.5;
const SHORTEST_S = 8;
const LONGEST_S = 24;

/** How long a slide stays: time to notice it, and to read it at an unhurried pace, in ms. */
export function slideDurationMs(item: Pick<Announcement, 'title' | 'body'>): number {
  const words = `${item.title} ${item.body}`.split(/\s+/).filter(Boolean).length;
  const seconds = Math.min(LONGEST_S, Math.max(SHORTEST_S, 4 + words / WORDS_PER_SECOND));
  return Math.round(seconds * 1000);
}

export const TEXT_SIZES = ['huge', 'large', 'medium', 'small', 'tiny'] as const;
export type TextSize = (typeof TEXT_SIZES)[number];

/** The type size that should let the text fill the screen without leaving it. A display measures, and may take the next. */
export function textSize(item: Pick<Announcement, 'title' | 'body'>): TextSize {
  // A character of the title takes about the room of three of the body; every line break takes a line.
  const weight = [...item.title].length * 3 + [...item.body].length + (item.body.split('\n').length - 1) * 30;
  if (weight <= 130) return 'huge';
  if (weight <= 290) return 'large';
  if (weight <= 470) return 'medium';
  return 'small';
}
