-- depends: 0015.faults

-- Somebody rolled back from it: a rollback without a number does not lead there again.
ALTER TABLE releases ADD COLUMN withdrawn_at timestamptz;

ALTER TABLE deploys DROP CONSTRAINT deploys_kind_check;
ALTER TABLE deploys ADD CONSTRAINT deploys_kind_check
    CHECK (kind IN ('deploy', 'promote', 'rollback', 'redeploy', 'restart'));
-- Which kind of process a restart is of; empty for all of them.
ALTER TABLE deploys ADD COLUMN process text NOT NULL DEFAULT '';

-- The edge sends an instance no further visitors from this moment on; it is told to end when those it has are served.
ALTER TABLE instances ADD COLUMN leaving_since timestamptz;
