import { cookies, headers } from 'next/headers';
import { env } from './env.ts';
import { SESSION_SECONDS, sessionKey, signSession, verifySession } from './session.ts';

const COOKIE = 'smart-sign-session';

const key = (): Buffer => sessionKey(env.sessionSecret(), env.adminPassword());

export async function isAdmin(): Promise<boolean> {
  return verifySession((await cookies()).get(COOKIE)?.value, key(), Date.now());
}

export async function startSession(): Promise<void> {
  // The proxy ends TLS and says so; without it (development on plain http) a Secure cookie would be lost.
  const https = (await headers()).get('x-forwarded-proto')?.split(',')[0]?.trim() === 'https';
  (await cookies()).set(COOKIE, signSession(key(), Date.now()), {
    httpOnly: true,
    sameSite: 'lax',
    secure: https,
    path: '/admin',
    maxAge: SESSION_SECONDS,
  });
}

export async function endSession(): Promise<void> {
  (await cookies()).delete({ name: COOKIE, path: '/admin' });
}
