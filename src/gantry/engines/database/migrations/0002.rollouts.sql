-- depends: 0001.control-state

CREATE TABLE rollouts (
    id text PRIMARY KEY,
    deploy text NOT NULL UNIQUE REFERENCES deploys ON DELETE CASCADE,
    environment text NOT NULL REFERENCES environments ON DELETE CASCADE,
    candidate text NOT NULL REFERENCES releases ON DELETE CASCADE,
    current text NOT NULL REFERENCES releases ON DELETE CASCADE,
    stages jsonb NOT NULL,
    stage integer NOT NULL,
    state text NOT NULL CHECK (state IN ('running', 'paused', 'waiting', 'passed', 'failed', 'aborted')),
    approval boolean NOT NULL,
    wish text CHECK (wish IN ('pause', 'resume', 'promote', 'abort')),
    started_at timestamptz NOT NULL,
    stage_started_at timestamptz NOT NULL,
    paused_at timestamptz,
    verdict jsonb,
    reason text NOT NULL DEFAULT '',
    -- Signs the cookies of visitors while this rollout lasts; it opens nothing.
    cookie_key text NOT NULL,
    ended_at timestamptz
);
CREATE INDEX rollouts_open ON rollouts (environment) WHERE state IN ('running', 'paused', 'waiting');

-- What was said at the end of each stage, with the numbers that it was said of.
CREATE TABLE rollout_stages (
    rollout text NOT NULL REFERENCES rollouts ON DELETE CASCADE,
    number integer NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz,
    -- What had been counted of both releases when the stage came into effect.
    baseline jsonb,
    verdict jsonb,
    PRIMARY KEY (rollout, number)
);
