import { env, faultsOf } from './env.ts';
import { hub } from './hub.ts';
import { log } from './log.ts';

/** Refuses to start with a wrong environment, and arranges a gentle stop. */
export function prepare(): void {
  const faults = faultsOf(process.env);
  if (faults.length > 0) {
    for (const fault of faults) log('error', `${fault} See .env.example.`);
    process.exit(78); // EX_CONFIG: starting again will not help.
  }
  // Next.js itself stops listening and waits for open requests. Streams never end by themselves, so they are ended
  // here, and told that another instance is waiting.
  process.once('SIGTERM', () => hub().drain());
  process.once('SIGINT', () => hub().drain());
  log('info', 'started', { release: env.release(), build: env.build(), instance: env.instance() });
}
