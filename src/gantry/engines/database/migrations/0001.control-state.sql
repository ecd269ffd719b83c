-- The control plane's memory. Every state is text with a CHECK, so that a dump can be read by people.

CREATE TABLE projects (
    name text PRIMARY KEY,
    action_key_sealed bytea NOT NULL,
    created_at timestamptz NOT NULL
);

CREATE TABLE environments (
    id text PRIMARY KEY,
    project text NOT NULL REFERENCES projects ON DELETE CASCADE,
    name text NOT NULL,
    live_release text,
    releases_made integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    UNIQUE (project, name)
);

CREATE TABLE variables (
    environment text NOT NULL REFERENCES environments ON DELETE CASCADE,
    name text NOT NULL,
    sealed bytea NOT NULL,
    updated_at timestamptz NOT NULL,
    updated_by text NOT NULL,
    PRIMARY KEY (environment, name)
);

CREATE TABLE services (
    environment text NOT NULL REFERENCES environments ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('postgres', 'redis')),
    name text NOT NULL UNIQUE,
    secret_sealed bytea NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (environment, kind)
);

CREATE TABLE builds (
    id text PRIMARY KEY,
    project text NOT NULL REFERENCES projects ON DELETE CASCADE,
    key text NOT NULL,
    source_digest text NOT NULL,
    state text NOT NULL CHECK (state IN ('building', 'built', 'ready', 'failed', 'gone')),
    framework text NOT NULL DEFAULT '',
    reasons jsonb NOT NULL DEFAULT '[]',
    artifact_digest text NOT NULL DEFAULT '',
    size_bytes bigint NOT NULL DEFAULT 0,
    phases jsonb NOT NULL DEFAULT '{}',
    error jsonb,
    created_at timestamptz NOT NULL,
    finished_at timestamptz
);
-- The same tree is not built twice, not even by two environments at once.
CREATE UNIQUE INDEX builds_key ON builds (project, key) WHERE state IN ('building', 'built', 'ready');

CREATE TABLE releases (
    id text PRIMARY KEY,
    environment text NOT NULL REFERENCES environments ON DELETE CASCADE,
    number integer NOT NULL,
    build text NOT NULL REFERENCES builds ON DELETE CASCADE,
    manifest jsonb NOT NULL,
    variables_sealed bytea NOT NULL,
    commit jsonb NOT NULL DEFAULT '{}',
    state text NOT NULL CHECK (state IN ('pending', 'running', 'retired', 'failed')),
    created_at timestamptz NOT NULL,
    live_at timestamptz,
    left_at timestamptz,
    retired_at timestamptz,
    UNIQUE (environment, number)
);

CREATE TABLE deploys (
    id text PRIMARY KEY,
    environment text NOT NULL REFERENCES environments ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('deploy', 'promote', 'rollback')),
    state text NOT NULL CHECK (state IN ('queued', 'active', 'succeeded', 'failed', 'cancelled')),
    step text NOT NULL,
    source_digest text NOT NULL DEFAULT '',
    commit jsonb NOT NULL DEFAULT '{}',
    manifest jsonb,
    build text REFERENCES builds ON DELETE SET NULL,
    release text REFERENCES releases ON DELETE SET NULL,
    previous_release text,
    requested_by text NOT NULL,
    requested_at timestamptz NOT NULL,
    started_at timestamptz,
    step_started_at timestamptz,
    finished_at timestamptz,
    cancel_requested boolean NOT NULL DEFAULT false,
    lease_owner text NOT NULL DEFAULT '',
    heartbeat_at timestamptz,
    error jsonb
);
CREATE INDEX deploys_open ON deploys (environment, requested_at) WHERE state IN ('queued', 'active');
-- One deploy at a time moves an environment, whatever a control plane believes.
CREATE UNIQUE INDEX deploys_one_active ON deploys (environment) WHERE state = 'active';

CREATE TABLE deploy_steps (
    deploy text NOT NULL REFERENCES deploys ON DELETE CASCADE,
    name text NOT NULL,
    state text NOT NULL CHECK (state IN ('running', 'done', 'skipped', 'failed')),
    started_at timestamptz NOT NULL,
    finished_at timestamptz,
    detail text NOT NULL DEFAULT '',
    PRIMARY KEY (deploy, name)
);

CREATE TABLE instances (
    id text PRIMARY KEY,
    release text NOT NULL REFERENCES releases ON DELETE CASCADE,
    process text NOT NULL,
    slot integer NOT NULL,
    port integer UNIQUE,
    created_at timestamptz NOT NULL,
    started_at timestamptz,
    healthy_at timestamptz,
    restarts integer NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,
    next_start_at timestamptz,
    stopping_since timestamptz,
    last_exit text NOT NULL DEFAULT '',
    killed_for text NOT NULL DEFAULT '',
    UNIQUE (release, process, slot)
);

CREATE TABLE cron_runs (
    environment text NOT NULL REFERENCES environments ON DELETE CASCADE,
    cron text NOT NULL,
    scheduled_for timestamptz NOT NULL,
    process_id text NOT NULL,
    state text NOT NULL CHECK (state IN ('running', 'succeeded', 'failed', 'skipped')),
    started_at timestamptz,
    finished_at timestamptz,
    detail text NOT NULL DEFAULT '',
    PRIMARY KEY (environment, cron, scheduled_for)
);

CREATE TABLE certificates (
    name text PRIMARY KEY,
    hosts text[] NOT NULL,
    authority text NOT NULL,
    chain_pem text NOT NULL,
    key_sealed bytea NOT NULL,
    not_before timestamptz NOT NULL,
    not_after timestamptz NOT NULL
);

CREATE TABLE tokens (
    hash text PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('login', 'session', 'api')),
    account text NOT NULL,
    role text NOT NULL CHECK (role IN ('viewer', 'developer', 'owner')),
    label text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);

CREATE TABLE audit (
    seq bigint PRIMARY KEY,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    target text NOT NULL,
    details jsonb NOT NULL,
    hash text NOT NULL
);
