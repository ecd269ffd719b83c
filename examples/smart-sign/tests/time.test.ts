import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { clockText, dateText, fromLocal, isNight, momentText, toLocal } from '../lib/time.ts';

const utc = (text: string) => Date.parse(text);

describe('wall clock times', () => {
  const cases: [string, string, string][] = [
    ['2026-01-15T18:00', 'Europe/London', '2026-01-15T18:00:00Z'],
    ['2026-07-15T18:00', 'Europe/London', '2026-07-15T17:00:00Z'],
    ['2026-07-15T18:00', 'Asia/Kolkata', '2026-07-15T12:30:00Z'],
    ['2026-07-15T00:00', 'Pacific/Auckland', '2026-07-14T12:00:00Z'],
    ['2026-03-29T00:59', 'Europe/London', '2026-03-29T00:59:00Z'],
    ['2026-03-29T02:00', 'Europe/London', '2026-03-29T01:00:00Z'],
  ];
  for (const [local, zone, expected] of cases) {
    test(`${local} in ${zone}`, () => {
      assert.equal(new Date(fromLocal(local, zone)!).toISOString(), new Date(expected).toISOString());
      assert.equal(toLocal(utc(expected), zone), local);
    });
  }

  test('a time that the clocks skip becomes an hour later', () => {
    assert.equal(toLocal(fromLocal('2026-03-29T01:30', 'Europe/London')!, 'Europe/London'), '2026-03-29T02:30');
  });

  test('of a time that happens twice it is the first', () => {
    assert.equal(fromLocal('2026-10-25T01:30', 'Europe/London'), utc('2026-10-25T00:30:00Z'));
  });

  test('what is no time is null', () => {
    for (const text of ['', 'tomorrow', '2026-02-30T10:00', '2026-13-01T10:00', '2026-01-01T24:00', '2026-01-01T10:60']) {
      assert.equal(fromLocal(text, 'UTC'), null, text);
    }
  });
});

test('texts of the display', () => {
  const now = utc('2026-11-27T17:05:00Z');
  assert.equal(clockText(now, 'Europe/London'), '17:05');
  assert.equal(dateText(now, 'Europe/London'), 'Friday 27 November');
  assert.equal(momentText(utc('2026-11-27T18:00:00Z'), now, 'Europe/London'), '18:00');
  assert.equal(momentText(utc('2026-11-28T18:00:00Z'), now, 'Europe/London'), 'tomorrow, 18:00');
  assert.equal(momentText(utc('2026-11-30T18:00:00Z'), now, 'Europe/London'), 'Mon 30 Nov, 18:00');
  // It is already tomorrow there.
  assert.equal(momentText(utc('2026-11-27T18:00:00Z'), now, 'Asia/Tokyo'), '03:00');
});

test('night is from 19:00 to 7:00 at the place', () => {
  assert.ok(!isNight(utc('2026-07-15T17:59:00Z'), 'Europe/London'));
  assert.ok(isNight(utc('2026-07-15T18:00:00Z'), 'Europe/London'));
  assert.ok(isNight(utc('2026-07-15T05:59:00Z'), 'Europe/London'));
  assert.ok(!isNight(utc('2026-07-15T06:00:00Z'), 'Europe/London'));
});
