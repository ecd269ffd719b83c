export interface LimiterOptions {
  /** takes allowed per window */
  limit: number;
  windowMs: number;
  /** keys remembered at once; when there are more, the oldest window is forgotten */
  maxKeys: number;
}

/** Counts per key in fixed windows. One process's view: with several instances the limit is per instance. */
export class Limiter {
  private readonly options: LimiterOptions;
  private readonly windows = new Map<string, { start: number; taken: number }>();

  constructor(options: LimiterOptions) {
    this.options = options;
  }

  /** Whether one more is allowed now. `now` in ms. */
  take(key: string, now: number): boolean {
    const { limit, windowMs, maxKeys } = this.options;
    let window = this.windows.get(key);
    if (!window || now - window.start >= windowMs) {
      this.windows.delete(key);
      if (this.windows.size >= maxKeys) this.windows.delete(this.windows.keys().next().value!);
      window = { start: now, taken: 0 };
      this.windows.set(key, window);
    }
    if (window.taken >= limit) return false;
    window.taken += 1;
    return true;
  }
}

/**
 * Whom to count. The last entry of X-Forwarded-For is the one our own proxy wrote; those before it can be made up.
 */
export function clientKey(headers: Pick<Headers, 'get'>): string {
  const last = headers.get('x-forwarded-for')?.split(',').at(-1)?.trim();
  return last ? last.slice(0, 45) : 'direct';
}
