import type { AdminAnnouncement, Announcement, AnnouncementType, Organization, Visibility } from './announcement.ts';
import { cached, forget } from './cache.ts';
import { query } from './database.ts';
import type { NewAnnouncement } from './validation.ts';
import type { ViewBatch } from './views.ts';

const DISPLAY_LIMIT = 60;
const ADMIN_LIMIT = 200;
const COMMUNITY_LIMIT = 200;
const ARCHIVE_BATCH = 500;

// Short, because a cached list is only the first frame of a display: the stream replaces it with the truth.
const LIST_SECONDS = 10;
const COMMUNITY_SECONDS = 60;

const listKey = (slug: string) => `announcements:${slug}`;

export interface CommunityCard extends Organization {
  onDisplay: number;
}

export async function listCommunities(): Promise<CommunityCard[]> {
  const { rows } = await query<Organization & { on_display: number }>(
    `SELECT o.id::text, o.slug, o.name, o.tagline, o.accent, o.timezone,
            (SELECT count(*)::int FROM announcements a
              WHERE a.organization_id = o.id AND a.visibility = 'public' AND a.archived_at IS NULL
                AND a.starts_at <= now() AND (a.expires_at IS NULL OR a.expires_at > now())) AS on_display
       FROM organizations o ORDER BY o.name LIMIT $1`,
    [COMMUNITY_LIMIT],
  );
  return rows.map(({ on_display, ...community }) => ({ ...community, onDisplay: on_display }));
}

export function findCommunity(slug: string): Promise<Organization | null> {
  return cached(`community:${slug}`, COMMUNITY_SECONDS, async () => {
    const { rows } = await query<Organization>(
      'SELECT id::text, slug, name, tagline, accent, timezone FROM organizations WHERE slug = $1',
      [slug],
    );
    return rows[0] ?? null;
  });
}

interface AnnouncementRow {
  id: string;
  type: AnnouncementType;
  title: string;
  body: string;
  starts_at: Date;
  expires_at: Date | null;
  updated_at: Date;
}

const toAnnouncement = (row: AnnouncementRow): Announcement => ({
  id: row.id,
  type: row.type,
  title: row.title,
  body: row.body,
  startsAt: row.starts_at.toISOString(),
  expiresAt: row.expires_at?.toISOString() ?? null,
  updatedAt: row.updated_at.toISOString(),
});

/**
 * What displays of a community show now or within a week, straight from the database. Displays know the start of each
 * and begin to show it at that moment, also when they are offline by then.
 */
export async function loadForDisplay(slug: string): Promise<Announcement[]> {
  const { rows } = await query<AnnouncementRow>(
    `SELECT a.id::text, a.type, a.title, a.body, a.starts_at, a.expires_at, a.updated_at
       FROM announcements a JOIN organizations o ON o.id = a.organization_id
      WHERE o.slug = $1 AND a.visibility = 'public' AND a.archived_at IS NULL
        AND a.starts_at < now() + interval '7 days' AND (a.expires_at IS NULL OR a.expires_at > now())
      ORDER BY (a.type = 'urgent') DESC, a.starts_at DESC, a.id DESC LIMIT $2`,
    [slug, DISPLAY_LIMIT],
  );
  return rows.map(toAnnouncement);
}

/** The same through the cache: for the first frame of a page. */
export function announcementsForPage(slug: string): Promise<Announcement[]> {
  return cached(listKey(slug), LIST_SECONDS, () => loadForDisplay(slug));
}

export function forgetAnnouncements(slug: string): Promise<void> {
  return forget(listKey(slug));
}

type AdminRow = AnnouncementRow & {
  visibility: Visibility;
  archived_at: Date | null;
  views: number;
  views_today: number;
};

export async function listForAdmin(community: Organization): Promise<AdminAnnouncement[]> {
  const { rows } = await query<AdminRow>(
    `SELECT a.id::text, a.type, a.title, a.body, a.starts_at, a.expires_at, a.updated_at, a.visibility, a.archived_at,
            COALESCE(v.total, 0)::float8 AS views, COALESCE(v.today, 0)::float8 AS views_today
       FROM announcements a
       LEFT JOIN LATERAL (
         SELECT sum(views) AS total, sum(views) FILTER (WHERE day = (now() AT TIME ZONE $2)::date) AS today
           FROM announcement_views WHERE announcement_id = a.id) v ON true
      WHERE a.organization_id = $1
      ORDER BY a.archived_at NULLS FIRST, a.starts_at DESC, a.id DESC LIMIT $3`,
    [community.id, community.timezone, ADMIN_LIMIT],
  );
  return rows.map((row) => ({
    ...toAnnouncement(row),
    visibility: row.visibility,
    archivedAt: row.archived_at?.toISOString() ?? null,
    views: row.views,
    viewsToday: row.views_today,
  }));
}

export async function createAnnouncement(community: Organization, value: NewAnnouncement): Promise<void> {
  await query(
    `INSERT INTO announcements (organization_id, request_key, type, visibility, title, body, starts_at, expires_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (request_key) DO NOTHING`,
    [
      community.id,
      value.requestKey,
      value.type,
      value.visibility,
      value.title,
      value.body,
      value.startsAt,
      value.expiresAt,
    ],
  );
  await forgetAnnouncements(community.slug);
}

/** Whether there was such an announcement. */
export async function setVisibility(community: Organization, id: string, visibility: Visibility): Promise<boolean> {
  const { rowCount } = await query(
    `UPDATE announcements SET visibility = $3, updated_at = now() WHERE organization_id = $1 AND id = $2`,
    [community.id, id, visibility],
  );
  await forgetAnnouncements(community.slug);
  return rowCount === 1;
}

export async function deleteAnnouncement(community: Organization, id: string): Promise<void> {
  await query('DELETE FROM announcements WHERE organization_id = $1 AND id = $2', [community.id, id]);
  await forgetAnnouncements(community.slug);
}

/** Adds views of announcements that are public; others are ignored. Returns how many announcements were counted. */
export async function countViews({ org, views }: ViewBatch): Promise<number> {
  const { rowCount } = await query(
    // In the order of the ids, so that two batches never wait for each other in a circle.
    `INSERT INTO announcement_views (announcement_id, day, views)
     SELECT a.id, (now() AT TIME ZONE o.timezone)::date, batch.views
       FROM unnest($2::bigint[], $3::int[]) AS batch (id, views)
       JOIN announcements a ON a.id = batch.id AND a.visibility = 'public'
       JOIN organizations o ON o.id = a.organization_id AND o.slug = $1
      ORDER BY a.id
     ON CONFLICT (announcement_id, day) DO UPDATE SET views = announcement_views.views + EXCLUDED.views`,
    [org, views.map((view) => view.id), views.map((view) => view.count)],
    { once: true },
  );
  return rowCount ?? 0;
}

/** Archives expired announcements, a bounded number at a time. Returns how many. */
export async function archiveExpired(): Promise<number> {
  const { rowCount } = await query(
    `UPDATE announcements SET archived_at = now() WHERE id IN (
       SELECT id FROM announcements WHERE archived_at IS NULL AND expires_at <= now()
        ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED)`,
    [ARCHIVE_BATCH],
  );
  return rowCount ?? 0;
}
