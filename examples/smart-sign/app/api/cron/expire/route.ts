import { env } from '@/lib/env';
import { log, reason } from '@/lib/log';
import { sameSecret } from '@/lib/session';
import { archiveExpired } from '@/lib/store';

export const dynamic = 'force-dynamic';

/** Archives what has expired. Displays already stopped showing it; this keeps the admin's list and the index short. */
export async function GET(request: Request): Promise<Response> {
  if (!sameSecret(request.headers.get('authorization') ?? '', `Bearer ${env.cronSecret()}`)) {
    return Response.json({ error: 'This needs the bearer token of CRON_SECRET.' }, { status: 401 });
  }
  try {
    const archived = await archiveExpired();
    log('info', 'expired announcements archived', { archived });
    return Response.json({ archived });
  } catch (error) {
    log('error', 'expired announcements not archived', { reason: reason(error) });
    return Response.json({ error: 'The announcements could not be archived.' }, { status: 503 });
  }
}
