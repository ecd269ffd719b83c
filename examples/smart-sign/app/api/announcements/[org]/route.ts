import { isSlug } from '@/lib/announcement';
import { log, reason } from '@/lib/log';
import { announcementsForPage, findCommunity } from '@/lib/store';

export const dynamic = 'force-dynamic';

/** What a display asks for when it has no stream, and what the service worker keeps for the time without a network. */
export async function GET(_request: Request, context: RouteContext<'/api/announcements/[org]'>): Promise<Response> {
  const { org } = await context.params;
  const headers = { 'Cache-Control': 'no-store' };
  try {
    if (!isSlug(org) || !(await findCommunity(org))) {
      return Response.json({ error: 'There is no such community.' }, { status: 404, headers });
    }
    return Response.json({ now: Date.now(), announcements: await announcementsForPage(org) }, { headers });
  } catch (error) {
    log('error', 'announcements not read', { community: org, reason: reason(error) });
    return Response.json({ error: 'The database cannot be reached.' }, { status: 503, headers });
  }
}
