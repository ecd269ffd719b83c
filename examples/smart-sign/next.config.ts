import type { NextConfig } from 'next';

// The deployment id of release skew protection needs no line here: Next.js reads NEXT_DEPLOYMENT_ID by itself.
const config: NextConfig = {
  output: 'standalone',
  // A lock file in a folder above must not move the root of the build.
  outputFileTracingRoot: import.meta.dirname,
  turbopack: { root: import.meta.dirname },
  // The release command runs inside the built artifact, so what it reads has to be part of it.
  // pg is also traced by itself, but only the files that the server loads.
  outputFileTracingIncludes: {
    '/api/health': ['./scripts/**/*', './migrations/**/*', './node_modules/pg/**/*'],
  },
  serverExternalPackages: ['pg', 'redis'],
  poweredByHeader: false,
  reactStrictMode: true,
  // The longest form is a title, a body and a few dates.
  experimental: { serverActions: { bodySizeLimit: '32kb' } },
};

export default config;
