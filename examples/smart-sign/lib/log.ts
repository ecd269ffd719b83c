type Fields = Record<string, string | number | boolean | null>;

/** One JSON object a line, which is what collectors of logs read best. */
export function log(level: 'info' | 'warn' | 'error', message: string, fields: Fields = {}): void {
  const line = JSON.stringify({ time: new Date().toISOString(), level, message, ...fields });
  if (level === 'error') console.error(line);
  else console.log(line);
}

export const reason = (error: unknown): string => (error instanceof Error ? error.message || error.name : String(error));
