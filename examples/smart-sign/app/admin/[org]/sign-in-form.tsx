'use client';

import { useActionState } from 'react';
import { signIn } from './actions';
import styles from './admin.module.css';

export function SignInForm({ org }: { org: string }) {
  const [state, action, pending] = useActionState(signIn, { message: null });
  return (
    <form action={action} className={styles.signIn}>
      <h2 className={styles.groupTitle}>Sign in</h2>
      <input type="hidden" name="org" value={org} />
      <label className={styles.label} htmlFor="password">
        Password
      </label>
      <input
        id="password"
        name="password"
        type="password"
        autoComplete="current-password"
        required
        maxLength={200}
        autoFocus
        className={styles.input}
        aria-invalid={state.message !== null}
        aria-describedby="sign-in-message"
      />
      <p id="sign-in-message" className={styles.error} role="alert">
        {state.message}
      </p>
      <button type="submit" className={styles.submit} disabled={pending}>
        {pending ? 'Signing in…' : 'Sign in'}
      </button>
    </form>
  );
}
