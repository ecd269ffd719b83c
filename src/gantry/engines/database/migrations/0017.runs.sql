-- depends: 0016.ways-to-production

-- Commands that people ran by hand.
CREATE TABLE runs (
    id text PRIMARY KEY,
    environment text NOT NULL REFERENCES environments ON DELETE CASCADE,
    release text NOT NULL REFERENCES releases ON DELETE CASCADE,
    program text NOT NULL CHECK (program IN ('command', 'postgres', 'redis')),
    command text NOT NULL,
    terminal boolean NOT NULL,
    detached boolean NOT NULL,
    read_only boolean NOT NULL,
    timeout_s double precision NOT NULL,
    requested_by text NOT NULL,
    origin text NOT NULL,
    state text NOT NULL CHECK (state IN ('waiting', 'running', 'succeeded', 'failed')),
    created_at timestamptz NOT NULL,
    argv_sealed bytea,
    started_at timestamptz,
    finished_at timestamptz,
    stopping_since timestamptz,
    stop_reason text NOT NULL DEFAULT '',
    exit_code integer,
    detail text NOT NULL DEFAULT ''
);
CREATE INDEX runs_of_environment ON runs (environment, created_at);
CREATE INDEX runs_open ON runs (created_at) WHERE finished_at IS NULL;
