export const TYPES = ['urgent', 'facility', 'event', 'opportunity', 'administrative'] as const;
export type AnnouncementType = (typeof TYPES)[number];

export const VISIBILITIES = ['public', 'members', 'draft'] as const;
export type Visibility = (typeof VISIBILITIES)[number];

export const TYPE_LABELS: Record<AnnouncementType, string> = {
  urgent: 'Urgent',
  facility: 'Facility',
  event: 'Event',
  opportunity: 'Opportunity',
  administrative: 'Notice',
};

export const VISIBILITY_LABELS: Record<Visibility, string> = {
  public: 'Public',
  members: 'Members',
  draft: 'Draft',
};

export const VISIBILITY_HINTS: Record<Visibility, string> = {
  public: 'On every display',
  members: 'In the admin only, with a badge',
  draft: 'Not shown anywhere yet',
};

export const TITLE_LIMIT = 90;
export const BODY_LIMIT = 500;

export interface Organization {
  id: string;
  slug: string;
  name: string;
  tagline: string;
  /** #rrggbb */
  accent: string;
  /** IANA name, for example Europe/London */
  timezone: string;
}

/** What a display needs. Times are ISO 8601 in UTC, because they travel as JSON. */
export interface Announcement {
  id: string;
  type: AnnouncementType;
  title: string;
  body: string;
  startsAt: string;
  /** null: until somebody removes it */
  expiresAt: string | null;
  updatedAt: string;
}

/** What the admin sees in addition. */
export interface AdminAnnouncement extends Announcement {
  visibility: Visibility;
  archivedAt: string | null;
  views: number;
  viewsToday: number;
}

export type Phase = 'upcoming' | 'current' | 'expired';

/** The end is exclusive: at expiresAt itself an announcement is no longer shown. `now` is in ms since 1970. */
export function phaseOf(item: Pick<Announcement, 'startsAt' | 'expiresAt'>, now: number): Phase {
  if (item.expiresAt !== null && Date.parse(item.expiresAt) <= now) return 'expired';
  return Date.parse(item.startsAt) <= now ? 'current' : 'upcoming';
}

const SLUG = /^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$/;
const ID = /^[1-9]\d{0,17}$/;

export const isSlug = (value: unknown): value is string => typeof value === 'string' && SLUG.test(value);
/** A positive bigint as text, short enough that Postgres never overflows. */
export const isId = (value: unknown): value is string => typeof value === 'string' && ID.test(value);
export const isVisibility = (value: unknown): value is Visibility => VISIBILITIES.includes(value as Visibility);
export const isType = (value: unknown): value is AnnouncementType => TYPES.includes(value as AnnouncementType);
