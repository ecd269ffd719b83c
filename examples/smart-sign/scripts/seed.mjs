// Two communities to look at, added only to a database without any.

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

const COMMUNITIES = [
  {
    slug: 'harbour-house',
    name: 'Harbour House',
    tagline: 'Homes and studios on the old quay',
    accent: '#0f766e',
    timezone: 'Europe/London',
    announcements: [
      {
        type: 'event',
        title: 'Supper on the quay, every Thursday at seven',
        body: 'Long tables, one pot, everybody welcome. Bring a bowl and somebody you have not met yet.',
        expiresIn: 90 * DAY,
      },
      {
        type: 'facility',
        title: 'The new bicycle room is open',
        body: 'Ground floor, behind the post boxes. Your front door key opens it. Racks are first come, first served; please leave the long one for cargo bikes.',
        expiresIn: 45 * DAY,
      },
      {
        type: 'opportunity',
        title: 'Grow something: six roof beds are free',
        body: 'Soil, water and tools are there. Put your name on the sheet beside the lift and choose a bed.',
        expiresIn: 60 * DAY,
      },
      {
        type: 'administrative',
        title: 'Parcels are kept for ten days',
        body: 'The porter’s desk is staffed from 8:00 to 18:00 on weekdays and until noon on Saturdays.',
        expiresIn: null,
      },
      {
        type: 'event',
        title: 'Morning swim from the slipway',
        body: 'Tuesdays and Saturdays, half past seven. Warm towels and tea afterwards.',
        expiresIn: 90 * DAY,
      },
      {
        type: 'administrative',
        visibility: 'members',
        title: 'Minutes of the residents’ meeting',
        body: 'In the blue folder in the reading room.',
        expiresIn: 30 * DAY,
      },
      {
        type: 'urgent',
        visibility: 'draft',
        title: 'Water is off on floors 3 to 6',
        body: 'Ready for the next time the plumber calls: make it public and every screen shows it at once.',
        expiresIn: 90 * DAY,
      },
    ],
  },
  {
    slug: 'linden-library',
    name: 'Linden Library',
    tagline: 'The reading room of the neighbourhood',
    accent: '#7c3aed',
    timezone: 'Europe/Berlin',
    announcements: [
      {
        type: 'event',
        title: 'Story hour under the big tree',
        body: 'For ages three to seven, every Saturday at eleven. In the children’s room when it rains.',
        expiresIn: 90 * DAY,
      },
      {
        type: 'opportunity',
        title: 'Be a reading partner',
        body: 'One hour a week with a child who is learning to read. Ask at the desk; we show you how.',
        expiresIn: 60 * DAY,
      },
      {
        type: 'facility',
        title: 'Quiet room upstairs, open until ten',
        body: 'Twelve desks, good lamps, no telephones.',
        expiresIn: null,
      },
    ],
  },
];

/**
 * Adds the demo when there is no community at all. The caller owns the transaction.
 * Returns whether anything was added.
 */
export async function seedWhenEmpty(client) {
  const { rows } = await client.query('SELECT EXISTS (SELECT 1 FROM organizations) AS used');
  if (rows[0].used) return false;
  const now = Date.now();
  for (const { announcements, ...community } of COMMUNITIES) {
    const inserted = await client.query(
      'INSERT INTO organizations (slug, name, tagline, accent, timezone) VALUES ($1, $2, $3, $4, $5) RETURNING id',
      [community.slug, community.name, community.tagline, community.accent, community.timezone],
    );
    for (const [index, item] of announcements.entries()) {
      await client.query(
        `INSERT INTO announcements (organization_id, type, visibility, title, body, starts_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)`,
        [
          inserted.rows[0].id,
          item.type,
          item.visibility ?? 'public',
          item.title,
          item.body,
          // An hour apart, so that the order on the display is the order above.
          new Date(now - (index + 1) * HOUR),
          item.expiresIn === null ? null : new Date(now + item.expiresIn),
        ],
      );
    }
  }
  return true;
}
