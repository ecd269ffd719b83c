import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isId, isSlug } from '../lib/announcement.ts';
import { parseAnnouncement, type Field, type RawAnnouncement } from '../lib/validation.ts';

const NOW = Date.parse('2026-03-02T12:00:00Z');
const ZONE = 'Europe/London';

const GOOD: RawAnnouncement = {
  requestKey: '0b5e7a54-9c1d-4b7e-8a55-1f2e3d4c5b6a',
  type: 'event',
  visibility: 'public',
  title: 'Supper on the quay',
  body: 'Bring a bowl.',
  startsAt: '',
  expiresAt: '2026-03-09T19:00',
};

const faults = (over: Partial<RawAnnouncement>) => {
  const parsed = parseAnnouncement({ ...GOOD, ...over }, ZONE, NOW);
  return parsed.ok ? {} : parsed.errors;
};

describe('a form', () => {
  test('that is right', () => {
    const parsed = parseAnnouncement(GOOD, ZONE, NOW);
    assert.ok(parsed.ok);
    assert.equal(parsed.value.startsAt.getTime(), NOW);
    assert.equal(parsed.value.expiresAt?.toISOString(), '2026-03-09T19:00:00.000Z');
  });

  test('without an end', () => {
    const parsed = parseAnnouncement({ ...GOOD, expiresAt: '' }, ZONE, NOW);
    assert.ok(parsed.ok && parsed.value.expiresAt === null);
  });

  test('is cleaned', () => {
    const parsed = parseAnnouncement({ ...GOOD, title: '  A \n B\u0007\u202e ', body: ' one\r\n\r\n\r\n\r\ntwo \u0000 ' }, ZONE, NOW);
    assert.ok(parsed.ok);
    assert.equal(parsed.value.title, 'A B');
    assert.equal(parsed.value.body, 'one\n\ntwo');
  });

  const wrong: [Field, string, RegExp][] = [
    ['title', '   ', /title/],
    ['title', 'x'.repeat(91), /91 characters.*90/],
    ['body', 'x'.repeat(501), /501 characters.*500/],
    ['body', 'x\n'.repeat(9) + 'x', /10 lines.*8/],
    ['type', 'party', /types/],
    ['type', 'constructor', /types/],
    ['visibility', 'everybody', /who/],
    ['startsAt', 'soon', /not a date/],
    ['startsAt', '2028-01-01T00:00', /a year/],
    ['expiresAt', 'later', /not a date/],
    ['expiresAt', '2026-03-02T12:00', /past/],
    ['expiresAt', '2029-01-01T00:00', /two years/],
    ['requestKey', '', /reload/],
    ['requestKey', "'; DROP TABLE announcements", /reload/],
  ];
  for (const [field, value, message] of wrong) {
    test(`${field} ${JSON.stringify(value.slice(0, 24))}`, () => {
      const errors = faults({ [field]: value });
      assert.deepEqual(Object.keys(errors), [field]);
      assert.match(errors[field]!, message);
    });
  }

  test('that ends before it starts', () => {
    assert.match(faults({ startsAt: '2026-03-05T10:00', expiresAt: '2026-03-05T09:00' }).expiresAt!, /after the start/);
  });

  test('with several faults reports them all', () => {
    assert.deepEqual(Object.keys(faults({ title: '', type: '', expiresAt: 'x' })).sort(), ['expiresAt', 'title', 'type']);
  });

  test('a letter that takes two code units is one character', () => {
    assert.deepEqual(faults({ title: '🌊'.repeat(90) }), {});
  });
});

test('short names', () => {
  for (const good of ['a', 'harbour-house', 'x'.repeat(40)]) assert.ok(isSlug(good), good);
  for (const bad of ['', '-a', 'a-', 'A', 'a/b', 'a b', '..', 'x'.repeat(41), null, 7]) assert.ok(!isSlug(bad), String(bad));
});

test('ids', () => {
  for (const good of ['1', '999999999999999999']) assert.ok(isId(good), good);
  for (const bad of ['', '0', '01', '-1', '1.5', '1e3', '9'.repeat(19), 7, null]) assert.ok(!isId(bad), String(bad));
});
