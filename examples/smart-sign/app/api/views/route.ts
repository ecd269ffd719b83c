import { isConnectionLoss } from '@/lib/database';
import { Limiter, clientKey } from '@/lib/limiter';
import { log, reason } from '@/lib/log';
import { shared } from '@/lib/shared';
import { countViews } from '@/lib/store';
import { VIEWS_BODY_LIMIT_BYTES, parseViews } from '@/lib/views';

export const dynamic = 'force-dynamic';

// A display sends about two batches a minute; many may share one address.
const limiter = () => shared('views limiter', () => new Limiter({ limit: 240, windowMs: 60_000, maxKeys: 2_000 }));

const refuse = (status: number, error: string) => Response.json({ error }, { status });

export async function POST(request: Request): Promise<Response> {
  if (!limiter().take(clientKey(request.headers), Date.now())) return refuse(429, 'Too many batches; wait a minute.');
  const text = await readBounded(request, VIEWS_BODY_LIMIT_BYTES);
  if (text === null) return refuse(413, `The body may have ${VIEWS_BODY_LIMIT_BYTES} bytes.`);
  let input: unknown;
  try {
    input = JSON.parse(text);
  } catch {
    return refuse(400, 'The body is not JSON.');
  }
  const parsed = parseViews(input);
  if (!parsed.ok) return refuse(400, parsed.message);
  try {
    return Response.json({ counted: await countViews(parsed.value) });
  } catch (error) {
    log('warn', 'views not counted', { reason: reason(error) });
    return refuse(isConnectionLoss(error) ? 503 : 500, 'The views could not be counted; send them again later.');
  }
}

/** The body as text, null when it is longer than allowed. Reads no more than that, whatever the headers say. */
async function readBounded(request: Request, limitBytes: number): Promise<string | null> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  if (request.body) {
    for await (const chunk of request.body as unknown as AsyncIterable<Uint8Array>) {
      size += chunk.byteLength;
      if (size > limitBytes) return null;
      chunks.push(chunk);
    }
  }
  return Buffer.concat(chunks).toString('utf8');
}
