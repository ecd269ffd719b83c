import { databaseAnswers } from '@/lib/database';
import { env } from '@/lib/env';
import { hub } from '@/lib/hub';

export const dynamic = 'force-dynamic';

export async function GET(): Promise<Response> {
  const answers = await databaseAnswers(Date.now());
  const { draining } = hub();
  const healthy = answers && !draining;
  return Response.json(
    {
      status: draining ? 'draining' : answers ? 'ok' : 'unavailable',
      release: env.release(),
      build: env.build(),
      instance: env.instance(),
      database: answers ? 'ok' : 'unreachable',
    },
    { status: healthy ? 200 : 503, headers: { 'Cache-Control': 'no-store' } },
  );
}
