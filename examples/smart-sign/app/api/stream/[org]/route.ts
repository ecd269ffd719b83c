import { isSlug } from '@/lib/announcement';
import { hub } from '@/lib/hub';
import { log, reason } from '@/lib/log';
import { findCommunity } from '@/lib/store';

export const dynamic = 'force-dynamic';

/**
 * Events: hello (clock, build), snapshot (everything), change (upserts, removals), heartbeat, reconnect (come back at
 * once). Every connection begins with a snapshot, so there is no Last-Event-ID to keep.
 */
export async function GET(request: Request, context: RouteContext<'/api/stream/[org]'>): Promise<Response> {
  const { org } = await context.params;
  if (!isSlug(org)) return new Response('There is no such community.\n', { status: 404 });
  try {
    if (!(await findCommunity(org))) return new Response('There is no such community.\n', { status: 404 });
  } catch (error) {
    log('warn', 'stream refused: the database cannot be reached', { reason: reason(error) });
    return new Response('The database cannot be reached.\n', { status: 503, headers: { 'Retry-After': '5' } });
  }
  if (hub().full) {
    return new Response('Too many displays on this instance.\n', { status: 503, headers: { 'Retry-After': '10' } });
  }
  return new Response(hub().stream(org, request.signal), {
    headers: {
      'Content-Type': 'text/event-stream; charset=utf-8',
      // no-transform: compression would hold events back until a block is full.
      'Cache-Control': 'no-cache, no-transform',
      'X-Accel-Buffering': 'no',
    },
  });
}
