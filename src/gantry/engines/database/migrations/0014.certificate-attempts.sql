-- depends: 0013.cron-runs

-- Certificates that an authority did not sign when it was last asked; a row goes when it does.
CREATE TABLE certificate_attempts (
    name text PRIMARY KEY,
    failures integer NOT NULL,
    code text NOT NULL,
    message text NOT NULL,
    failed_at timestamptz NOT NULL
);
