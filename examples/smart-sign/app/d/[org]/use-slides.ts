import { useCallback, useEffect, useMemo, useRef, useState } from 'react';
import type { Announcement } from '@/lib/announcement';
import { newUrgent, relocate, rotation, slideDurationMs } from '@/lib/rotation';

interface Cursor {
  id: string | null;
  position: number;
  /** counts the slides shown, so that showing the same one again starts its time again */
  turn: number;
}

export interface Slides {
  slides: Announcement[];
  index: number;
  shown: Announcement | null;
  turn: number;
  durationMs: number;
  go(step: number): void;
}

/** Walks through the announcements: what is shown, for how long, and what comes next. */
export function useSlides(items: Announcement[], now: number, paused: boolean): Slides {
  const [cursor, setCursor] = useState<Cursor>({ id: null, position: 0, turn: 0 });

  const fresh = rotation(items, now);
  // The clock ticks every second, but the slides change only with the announcements: the key stands for them.
  const key = fresh.map((slide) => `${slide.id} ${slide.updatedAt}`).join('|');
  const slides = useMemo(() => fresh, [key]);

  const index = relocate(slides, cursor.id, cursor.position);
  const shown = slides[index] ?? null;
  const durationMs = shown ? slideDurationMs(shown) : 0;

  const go = useCallback(
    (step: number) => {
      if (slides.length === 0) return;
      const position = (index + step + slides.length) % slides.length;
      setCursor(({ turn }) => ({ id: slides[position]!.id, position, turn: turn + 1 }));
    },
    [slides, index],
  );

  const latestGo = useRef(go);
  useEffect(() => {
    latestGo.current = go;
  }, [go]);

  const alone = slides.length < 2;
  const shownId = shown?.id ?? null;
  useEffect(() => {
    if (shownId === null || alone || paused) return;
    const timer = setTimeout(() => latestGo.current(1), durationMs);
    return () => clearTimeout(timer);
  }, [shownId, cursor.turn, durationMs, alone, paused]);

  const before = useRef<Announcement[] | null>(null);
  useEffect(() => {
    const urgent = before.current && newUrgent(before.current, slides);
    before.current = slides;
    if (urgent) {
      setCursor(({ turn }) => ({ id: urgent.id, position: slides.indexOf(urgent), turn: turn + 1 }));
    }
  }, [slides]);

  return { slides, index, shown, turn: cursor.turn, durationMs, go };
}
