import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { phaseOf, type Announcement, type AnnouncementType } from '../lib/announcement.ts';
import { newUrgent, relocate, rotation, slideDurationMs, textSize } from '../lib/rotation.ts';

const NOW = Date.parse('2026-03-02T12:00:00Z');
const HOUR = 3_600_000;

function item(id: number, over: Partial<Announcement> & { type?: AnnouncementType } = {}): Announcement {
  return {
    id: String(id),
    type: 'event',
    title: `Announcement ${id}`,
    body: '',
    startsAt: new Date(NOW - id * HOUR).toISOString(),
    expiresAt: null,
    updatedAt: new Date(NOW - id * HOUR).toISOString(),
    ...over,
  };
}

const at = (offsetMs: number) => new Date(NOW + offsetMs).toISOString();
const ids = (items: Announcement[]) => items.map(({ id }) => id).join(' ');

describe('expiry', () => {
  test('the end is exclusive and the start inclusive', () => {
    assert.equal(phaseOf({ startsAt: at(0), expiresAt: at(1) }, NOW), 'current');
    assert.equal(phaseOf({ startsAt: at(-HOUR), expiresAt: at(0) }, NOW), 'expired');
    assert.equal(phaseOf({ startsAt: at(1), expiresAt: null }, NOW), 'upcoming');
    assert.equal(phaseOf({ startsAt: at(-HOUR), expiresAt: null }, NOW), 'current');
  });

  test('what ended before it started is expired', () => {
    assert.equal(phaseOf({ startsAt: at(HOUR), expiresAt: at(-HOUR) }, NOW), 'expired');
  });
});

describe('rotation', () => {
  test('newest first, without what is expired or yet to come', () => {
    const items = [item(3), item(1), item(2, { expiresAt: at(-1) }), item(4, { startsAt: at(HOUR) })];
    assert.equal(ids(rotation(items, NOW)), '1 3');
  });

  test('of two that start together the one posted later comes first, also beyond 2^53', () => {
    const startsAt = at(-HOUR);
    const items = [item(0, { id: '9007199254740993', startsAt }), item(0, { id: '9007199254740994', startsAt })];
    assert.equal(ids(rotation(items, NOW)), '9007199254740994 9007199254740993');
  });

  test('urgent takes every second slide', () => {
    const items = [item(1), item(2), item(3), item(9, { type: 'urgent' })];
    assert.equal(ids(rotation(items, NOW)), '9 1 9 2 9 3');
  });

  test('several urgent ones take turns, and everything is shown', () => {
    const items = [item(1), item(7, { type: 'urgent' }), item(8, { type: 'urgent' }), item(9, { type: 'urgent' })];
    assert.equal(ids(rotation(items, NOW)), '7 1 8 1 9 1');
  });

  test('only urgent, and nothing at all', () => {
    assert.equal(ids(rotation([item(8, { type: 'urgent' }), item(9, { type: 'urgent' })], NOW)), '8 9');
    assert.deepEqual(rotation([], NOW), []);
  });

  test('does not change its input', () => {
    const items = Object.freeze([item(2), item(1)]);
    rotation(items, NOW);
    assert.equal(ids([...items]), '2 1');
  });
});

describe('relocate', () => {
  const slides = [item(1), item(2), item(3)];

  test('stays on what is shown', () => {
    assert.equal(relocate([item(9), ...slides], '2', 1), 2);
  });

  test('keeps the place when what was shown is gone, within the list', () => {
    assert.equal(relocate([item(1), item(3)], '2', 1), 1);
    assert.equal(relocate([item(1)], '3', 2), 0);
    assert.equal(relocate([], '3', 2), 0);
  });

  test('of several slides of one announcement takes the nearest', () => {
    const urgent = item(9, { type: 'urgent' });
    assert.equal(relocate([urgent, item(1), urgent, item(2), urgent, item(3)], '9', 3), 2);
    assert.equal(relocate([urgent, item(1), urgent, item(2), urgent, item(3)], '9', 5), 4);
  });
});

test('a new urgent announcement is noticed, a known one is not', () => {
  const urgent = item(9, { type: 'urgent' });
  assert.equal(newUrgent([item(1)], [item(1), urgent])?.id, '9');
  assert.equal(newUrgent([item(1), urgent], [urgent]), null);
  assert.equal(newUrgent([item(9)], [urgent])?.id, '9', 'it became urgent');
  assert.equal(newUrgent([], [item(1)]), null);
});

test('a slide stays long enough to be read, within bounds', () => {
  assert.equal(slideDurationMs({ title: 'Short', body: '' }), 8_000);
  assert.equal(slideDurationMs({ title: 'T', body: 'word '.repeat(29) }), 16_000);
  assert.equal(slideDurationMs({ title: 'T', body: 'word '.repeat(100) }), 24_000);
});

test('longer texts are set smaller', () => {
  assert.equal(textSize({ title: 'Lift repaired', body: '' }), 'huge');
  assert.equal(textSize({ title: 'The new bicycle room is open', body: 'x'.repeat(150) }), 'large');
  assert.equal(textSize({ title: 'x'.repeat(60), body: 'x'.repeat(200) }), 'medium');
  assert.equal(textSize({ title: 'x'.repeat(90), body: 'x'.repeat(500) }), 'small');
});
