import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { SESSION_SECONDS, sameSecret, sessionKey, signSession, verifySession } from '../lib/session.ts';

const NOW = Date.parse('2026-03-02T12:00:00Z');
const KEY = sessionKey('s'.repeat(32), 'correct horse');

describe('a session', () => {
  const token = signSession(KEY, NOW);

  test('holds until it expires', () => {
    assert.ok(verifySession(token, KEY, NOW));
    assert.ok(verifySession(token, KEY, NOW + (SESSION_SECONDS - 1) * 1000));
    assert.ok(!verifySession(token, KEY, NOW + SESSION_SECONDS * 1000));
  });

  test('ends with the secret or the password', () => {
    assert.ok(!verifySession(token, sessionKey('t'.repeat(32), 'correct horse'), NOW));
    assert.ok(!verifySession(token, sessionKey('s'.repeat(32), 'another horse'), NOW));
  });

  test('cannot be prolonged or altered', () => {
    const [version, expires, signature] = token.split('.') as [string, string, string];
    assert.ok(!verifySession(`${version}.${Number(expires) + 1}.${signature}`, KEY, NOW));
    const flipped = (signature[0] === 'A' ? 'B' : 'A') + signature.slice(1);
    assert.ok(!verifySession(`${version}.${expires}.${flipped}`, KEY, NOW));
    assert.ok(!verifySession(token, KEY, NOW - 3_600_000), 'a signature from the future');
  });

  test('of any other form is refused', () => {
    for (const wrong of [undefined, '', 'v1', 'v1..', `v2${token.slice(2)}`, `${token}x`, 'x'.repeat(100_000)]) {
      assert.ok(!verifySession(wrong, KEY, NOW), String(wrong).slice(0, 20));
    }
  });
});

test('secrets are compared as a whole', () => {
  assert.ok(sameSecret('Bearer abc', 'Bearer abc'));
  assert.ok(!sameSecret('Bearer ab', 'Bearer abc'));
  assert.ok(!sameSecret('', 'Bearer abc'));
});
