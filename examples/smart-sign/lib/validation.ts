import {
  BODY_LIMIT,
  TITLE_LIMIT,
  isType,
  isVisibility,
  type AnnouncementType,
  type Visibility,
} from './announcement.ts';
import { fromLocal } from './time.ts';

export const FIELDS = ['requestKey', 'type', 'visibility', 'title', 'body', 'startsAt', 'expiresAt'] as const;
export type Field = (typeof FIELDS)[number];
export type RawAnnouncement = Record<Field, string>;

export interface NewAnnouncement {
  requestKey: string;
  type: AnnouncementType;
  visibility: Visibility;
  title: string;
  body: string;
  startsAt: Date;
  expiresAt: Date | null;
}

export type FieldErrors = Partial<Record<Field, string>>;
export type Parsed = { ok: true; value: NewAnnouncement } | { ok: false; errors: FieldErrors };

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
// Everything below the space except tab and newline, and the marks that turn the direction of the text around.
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
const BODY_LINES = 8;
const YEAR_MS = 366 * 86_400_000;

const lengthOf = (text: string): number => [...text].length;

export function cleanTitle(text: string): string {
  return text.replace(/\s+/g, ' ').replace(CONTROL, '').trim();
}

export function cleanBody(text: string): string {
  return text
    .replaceAll('\r\n', '\n')
    .replace(CONTROL, '')
    .replace(/[ \t]+/g, ' ')
    .replace(/ ?\n ?/g, '\n')
    .replace(/\n{3,}/g, '\n\n')
    .trim();
}

/** Checks a form. Every fault is reported at once, beside its field. `now` is in ms since 1970. */
export function parseAnnouncement(raw: RawAnnouncement, timezone: string, now: number): Parsed {
  const errors: FieldErrors = {};

  const title = cleanTitle(raw.title);
  if (title === '') errors.title = 'Give the announcement a title.';
  else if (lengthOf(title) > TITLE_LIMIT) {
    errors.title = `The title has ${lengthOf(title)} characters; a display has room for ${TITLE_LIMIT}.`;
  }

  const body = cleanBody(raw.body);
  const lines = body.split('\n').length;
  if (lengthOf(body) > BODY_LIMIT) {
    errors.body = `The text has ${lengthOf(body)} characters; a display has room for ${BODY_LIMIT}.`;
  } else if (lines > BODY_LINES) {
    errors.body = `The text has ${lines} lines; a display has room for ${BODY_LINES}.`;
  }

  const { type, visibility } = raw;
  if (!isType(type)) errors.type = 'Choose one of the types.';
  if (!isVisibility(visibility)) errors.visibility = 'Choose who may see it.';
  if (!UUID.test(raw.requestKey)) errors.requestKey = 'The form is incomplete; reload the page and send it again.';

  const startsAt = raw.startsAt === '' ? now : fromLocal(raw.startsAt, timezone);
  if (startsAt === null) errors.startsAt = 'The start is not a date and a time.';
  else if (Math.abs(startsAt - now) > YEAR_MS) errors.startsAt = 'The start can be at most a year away.';

  const expiresAt = raw.expiresAt === '' ? null : fromLocal(raw.expiresAt, timezone);
  if (raw.expiresAt !== '' && expiresAt === null) errors.expiresAt = 'The end is not a date and a time.';
  else if (expiresAt !== null) {
    if (expiresAt <= now) errors.expiresAt = 'The end is in the past: nobody would see it.';
    else if (startsAt !== null && !errors.startsAt && expiresAt <= startsAt) errors.expiresAt = 'The end has to come after the start.';
    else if (expiresAt - now > 2 * YEAR_MS) errors.expiresAt = 'The end can be at most two years away.';
  }

  if (Object.keys(errors).length > 0 || !isType(type) || !isVisibility(visibility) || startsAt === null) {
    return { ok: false, errors };
  }
  return {
    ok: true,
    value: {
      requestKey: raw.requestKey.toLowerCase(),
      type,
      visibility,
      title,
      body,
      startsAt: new Date(startsAt),
      expiresAt: expiresAt === null ? null : new Date(expiresAt),
    },
  };
}
