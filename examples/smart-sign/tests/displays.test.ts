import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Announcement } from '../lib/announcement.ts';
import { backoffMs } from '../lib/backoff.ts';
import { applyChanges, changesBetween } from '../lib/changes.ts';
import { faultsOf } from '../lib/env.ts';
import { frame } from '../lib/frames.ts';
import { Limiter, clientKey } from '../lib/limiter.ts';
import { VIEWS_COUNT_LIMIT, VIEWS_ENTRIES_LIMIT, ViewCounter, parseViews } from '../lib/views.ts';

const item = (id: string, title = `Announcement ${id}`): Announcement => ({
  id,
  type: 'event',
  title,
  body: '',
  startsAt: '2026-03-02T12:00:00.000Z',
  expiresAt: null,
  updatedAt: '2026-03-02T12:00:00.000Z',
});

describe('changes', () => {
  test('new, changed and removed', () => {
    const changes = changesBetween([item('1'), item('2'), item('3')], [item('1'), item('2', 'Changed'), item('4')]);
    assert.deepEqual(changes, { upserts: [item('2', 'Changed'), item('4')], removals: ['3'] });
  });

  test('applied to the old list give the new one, also twice', () => {
    const before = [item('1'), item('2'), item('3')];
    const after = [item('3', 'Changed'), item('5'), item('1')];
    const changes = changesBetween(before, after);
    const sorted = (items: Announcement[]) => items.toSorted((a, b) => a.id.localeCompare(b.id));
    const once = applyChanges(before, changes);
    assert.deepEqual(sorted(once), sorted(after));
    assert.deepEqual(sorted(applyChanges(once, changes)), sorted(after));
    assert.deepEqual(changesBetween(after, once), { upserts: [], removals: [] });
  });
});

describe('batches of views', () => {
  const good = { org: 'harbour-house', views: [{ id: '1', count: 2 }] };

  test('are added up per announcement, within the bound', () => {
    const parsed = parseViews({ ...good, views: [{ id: '1', count: 2 }, { id: '2', count: 1 }, { id: '1', count: 99 }] });
    assert.ok(parsed.ok);
    assert.deepEqual(parsed.value.views, [{ id: '1', count: VIEWS_COUNT_LIMIT }, { id: '2', count: 1 }]);
  });

  const wrong: unknown[] = [
    null,
    7,
    {},
    { ...good, org: '../x' },
    { ...good, views: [] },
    { ...good, views: [null] },
    { ...good, views: [{ id: 1, count: 1 }] },
    { ...good, views: [{ id: '1', count: 0 }] },
    { ...good, views: [{ id: '1', count: 1.5 }] },
    { ...good, views: [{ id: '1', count: 101 }] },
    { ...good, views: Array.from({ length: 51 }, (_, i) => ({ id: String(i + 1), count: 1 })) },
  ];
  for (const input of wrong) {
    test(`refused: ${JSON.stringify(input).slice(0, 60)}`, () => assert.ok(!parseViews(input).ok));
  }

  test('what could not be sent is kept, but never more than a batch', () => {
    const counter = new ViewCounter();
    for (let id = 1; id <= VIEWS_ENTRIES_LIMIT + 10; id += 1) counter.add(String(id));
    for (let count = 0; count < 500; count += 1) counter.add('1');
    const batch = counter.take('harbour-house')!;
    assert.equal(batch.views.length, VIEWS_ENTRIES_LIMIT);
    assert.deepEqual(batch.views[0], { id: '1', count: VIEWS_COUNT_LIMIT });
    assert.equal(counter.take('harbour-house'), null);
    counter.add('2');
    counter.restore(batch);
    assert.deepEqual(counter.take('harbour-house')!.views[0], { id: '2', count: 2 });
    assert.ok(parseViews(batch).ok);
  });
});

describe('limits', () => {
  test('a window allows so many, and the next one again', () => {
    const limiter = new Limiter({ limit: 2, windowMs: 1_000, maxKeys: 10 });
    assert.deepEqual([0, 1, 2, 1_000].map((now) => limiter.take('a', now)), [true, true, false, true]);
    assert.ok(limiter.take('b', 2));
  });

  test('remembers a bounded number of keys', () => {
    const limiter = new Limiter({ limit: 1, windowMs: 1_000, maxKeys: 2 });
    for (const key of ['a', 'b', 'c']) assert.ok(limiter.take(key, 0));
    assert.ok(!limiter.take('c', 0));
    assert.ok(limiter.take('a', 0), 'the oldest was forgotten');
  });

  test('the address that our own proxy wrote counts', () => {
    assert.equal(clientKey(new Headers({ 'X-Forwarded-For': '1.1.1.1, 10.0.0.7' })), '10.0.0.7');
    assert.equal(clientKey(new Headers()), 'direct');
  });
});

test('waits grow, are spread, and have a limit', () => {
  const backoff = { firstMs: 1_000, limitMs: 30_000 };
  assert.equal(backoffMs(backoff, 0, 0), 500);
  assert.equal(backoffMs(backoff, 1, 0.5), 1_500);
  assert.equal(backoffMs(backoff, 1_000, 1), 30_000);
});

test('a frame is two lines and an empty one, whatever the text', () => {
  assert.equal(frame('change', { title: 'a\nb' }), 'event: change\ndata: {"title":"a\\nb"}\n\n');
});

test('a wrong environment is told in full, without values', () => {
  const faults = faultsOf({ DATABASE_URL: 'postgres://x', ADMIN_PASSWORD: 'hunter2', SESSION_SECRET: 'short' });
  assert.equal(faults.length, 3);
  assert.ok(!faults.join().includes('hunter2'));
  assert.deepEqual(
    faultsOf({
      DATABASE_URL: 'postgres://x',
      ADMIN_PASSWORD: 'p'.repeat(8),
      SESSION_SECRET: 's'.repeat(32),
      CRON_SECRET: 'c'.repeat(16),
    }),
    [],
  );
});
