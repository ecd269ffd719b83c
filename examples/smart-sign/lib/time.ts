/** Wall clock times of a community's timezone. All instants are in ms since 1970. */

const LOCAL = /^(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2})(?::\d{2})?$/;

interface WallClock {
  year: number;
  month: number;
  day: number;
  hour: number;
  minute: number;
  second: number;
}

function wallClock(instant: number, timezone: string): WallClock {
  const parts = new Intl.DateTimeFormat('en-GB', {
    timeZone: timezone,
    hourCycle: 'h23',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
  }).formatToParts(instant);
  const part = (type: Intl.DateTimeFormatPartTypes) => Number(parts.find((p) => p.type === type)?.value);
  return {
    year: part('year'),
    month: part('month'),
    day: part('day'),
    hour: part('hour'),
    minute: part('minute'),
    second: part('second'),
  };
}

function offsetMs(instant: number, timezone: string): number {
  const { year, month, day, hour, minute, second } = wallClock(instant, timezone);
  return Date.UTC(year, month - 1, day, hour, minute, second) - Math.floor(instant / 1000) * 1000;
}

/**
 * The instant of a `datetime-local` value, null when it is not one.
 * A time that the clocks skip in spring becomes the one an hour later; of a time that they repeat in autumn, the first.
 */
export function fromLocal(value: string, timezone: string): number | null {
  const match = LOCAL.exec(value);
  if (!match) return null;
  const [year, month, day, hour, minute] = match.slice(1).map(Number) as [number, number, number, number, number];
  const asUtc = Date.UTC(year, month - 1, day, hour, minute);
  const check = new Date(asUtc);
  // Date.UTC turns 31 April into 1 May: such a date was mistyped.
  if (check.getUTCMonth() !== month - 1 || check.getUTCDate() !== day || hour > 23 || minute > 59) return null;
  // The offsets a day before and after are the only candidates, because zones change at most once in that time.
  const before = asUtc - offsetMs(asUtc - 86_400_000, timezone);
  const after = asUtc - offsetMs(asUtc + 86_400_000, timezone);
  for (const candidate of [before, after]) {
    if (candidate + offsetMs(candidate, timezone) === asUtc) return candidate;
  }
  return before;
}

/** The `datetime-local` value of an instant. */
export function toLocal(instant: number, timezone: string): string {
  const { year, month, day, hour, minute } = wallClock(instant, timezone);
  const two = (n: number) => String(n).padStart(2, '0');
  return `${String(year).padStart(4, '0')}-${two(month)}-${two(day)}T${two(hour)}:${two(minute)}`;
}

export function clockText(instant: number, timezone: string): string {
  return toLocal(instant, timezone).slice(11);
}

export function dateText(instant: number, timezone: string): string {
  const format = new Intl.DateTimeFormat('en-GB', { timeZone: timezone, weekday: 'long', day: 'numeric', month: 'long' });
  const parts = new Map(format.formatToParts(instant).map((part) => [part.type, part.value]));
  // Put together here: the comma after the weekday comes and goes with the version of the locale data.
  return `${parts.get('weekday')} ${parts.get('day')} ${parts.get('month')}`;
}

/** "18:00" today, "tomorrow, 18:00", else "Sat 28 Nov, 18:00". */
export function momentText(instant: number, now: number, timezone: string): string {
  const at = toLocal(instant, timezone);
  if (at.slice(0, 10) === toLocal(now, timezone).slice(0, 10)) return at.slice(11);
  if (at.slice(0, 10) === toLocal(now + 86_400_000, timezone).slice(0, 10)) return `tomorrow, ${at.slice(11)}`;
  const format = new Intl.DateTimeFormat('en-GB', {
    timeZone: timezone,
    weekday: 'short',
    day: 'numeric',
    month: 'short',
  });
  const parts = new Map(format.formatToParts(instant).map((part) => [part.type, part.value]));
  return `${parts.get('weekday')} ${parts.get('day')} ${parts.get('month')}, ${at.slice(11)}`;
}

/** Screens dim in the evening: dark from 19:00 until 7:00 at the place where they hang. */
export function isNight(instant: number, timezone: string): boolean {
  const { hour } = wallClock(instant, timezone);
  return hour >= 19 || hour < 7;
}
