export interface Backoff {
  firstMs: number;
  limitMs: number;
}

/**
 * The wait before attempt 0, 1, 2, …: doubled each time up to the limit, and spread over its upper half, so that many
 * clients that lost the same server do not come back at the same moment. `random` is in [0, 1).
 */
export function backoffMs({ firstMs, limitMs }: Backoff, attempt: number, random: number): number {
  const full = Math.min(limitMs, firstMs * 2 ** Math.min(attempt, 30));
  return Math.round(full * (0.5 + random / 2));
}
