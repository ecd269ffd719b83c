/**
 * One value per process. A module can be loaded more than once (the bundle of instrumentation.ts is not the bundle of
 * the routes), but pools, timers and open streams must exist once.
 */
export function shared<T>(name: string, make: () => T): T {
  const key = Symbol.for(`smart-sign.${name}`);
  const holder = globalThis as unknown as Record<symbol, T | undefined>;
  return (holder[key] ??= make());
}
