/** The only reader of the environment. Values are read when used, because the build has none of them. */

interface Required {
  name: 'DATABASE_URL' | 'ADMIN_PASSWORD' | 'SESSION_SECRET' | 'CRON_SECRET';
  atLeast: number;
}

const REQUIRED: readonly Required[] = [
  { name: 'DATABASE_URL', atLeast: 1 },
  { name: 'ADMIN_PASSWORD', atLeast: 8 },
  { name: 'SESSION_SECRET', atLeast: 32 },
  { name: 'CRON_SECRET', atLeast: 16 },
];

/** One sentence per variable that is missing or too short. Never contains a value. */
export function faultsOf(source: Record<string, string | undefined>): string[] {
  return REQUIRED.flatMap(({ name, atLeast }) => {
    const value = source[name] ?? '';
    if (value === '') return [`${name} is not set.`];
    return value.length < atLeast ? [`${name} has ${value.length} characters; it needs ${atLeast} or more.`] : [];
  });
}

function required(name: Required['name']): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set; see .env.example`);
  return value;
}

export const env = {
  databaseUrl: () => required('DATABASE_URL'),
  adminPassword: () => required('ADMIN_PASSWORD'),
  sessionSecret: () => required('SESSION_SECRET'),
  cronSecret: () => required('CRON_SECRET'),
  redisUrl: () => process.env.REDIS_URL || null,
  release: () => process.env.GANTRY_RELEASE || null,
  build: () => process.env.GANTRY_BUILD || process.env.NEXT_DEPLOYMENT_ID || 'local',
  instance: () => process.env.GANTRY_INSTANCE || null,
};
