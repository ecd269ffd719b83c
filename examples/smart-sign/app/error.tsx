'use client';

import { useEffect } from 'react';
import { Logo } from '@/components/logo';

const TRY_AGAIN_MS = 10_000;

/** Nobody stands beside a display to press a button, so the page tries again by itself. */
export default function ErrorPage({ error }: { error: Error & { digest?: string } }) {
  useEffect(() => {
    const timer = setTimeout(() => location.reload(), TRY_AGAIN_MS);
    return () => clearTimeout(timer);
  }, []);
  return (
    <main className="message" role="alert">
      <Logo size={56} />
      <h1>Back in a moment</h1>
      <p>
        The announcements cannot be reached. This page tries again every {TRY_AGAIN_MS / 1000} seconds.
        {error.digest ? ` (${error.digest})` : null}
      </p>
    </main>
  );
}
