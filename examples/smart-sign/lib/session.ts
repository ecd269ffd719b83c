import { createHash, createHmac, timingSafeEqual } from 'node:crypto';

/** The admin's session: a signed expiry time, `v1.<seconds since 1970>.<HMAC-SHA256>`. Nothing is stored. */

export const SESSION_SECONDS = 12 * 3600;
const TOKEN = /^v1\.(\d{1,12})\.([A-Za-z0-9_-]{43})$/;

/** The password is part of the key, so that changing it ends every session. */
export function sessionKey(secret: string, password: string): Buffer {
  return createHmac('sha256', secret).update('smart-sign session\0').update(password).digest();
}

function mac(payload: string, key: Buffer): Buffer {
  return createHmac('sha256', key).update(payload).digest();
}

export function signSession(key: Buffer, nowMs: number): string {
  const payload = `v1.${Math.floor(nowMs / 1000) + SESSION_SECONDS}`;
  return `${payload}.${mac(payload, key).toString('base64url')}`;
}

export function verifySession(token: string | undefined, key: Buffer, nowMs: number): boolean {
  const match = token === undefined ? null : TOKEN.exec(token);
  if (!match) return false;
  const [, expires, signature] = match as unknown as [string, string, string];
  if (!timingSafeEqual(mac(`v1.${expires}`, key), Buffer.from(signature, 'base64url'))) return false;
  const left = Number(expires) - nowMs / 1000;
  return left > 0 && left <= SESSION_SECONDS;
}

/** Compares secrets in a time that tells nothing of either, not even the length. */
export function sameSecret(a: string, b: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}
