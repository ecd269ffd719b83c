-- depends: 0012.maintenance

-- A run may be asked for by hand: it waits as `asked` until the scheduler starts it. What a path answered is kept with
-- its run, as the log of a command is kept by the runtime.
ALTER TABLE cron_runs DROP CONSTRAINT cron_runs_state_check;
ALTER TABLE cron_runs ADD CONSTRAINT cron_runs_state_check
    CHECK (state IN ('asked', 'running', 'succeeded', 'failed', 'skipped'));
ALTER TABLE cron_runs ADD COLUMN release text NOT NULL DEFAULT '';
ALTER TABLE cron_runs ADD COLUMN asked_by text NOT NULL DEFAULT '';
ALTER TABLE cron_runs ADD COLUMN output text;

CREATE INDEX cron_runs_open ON cron_runs (state) WHERE state IN ('asked', 'running');
CREATE INDEX cron_runs_newest ON cron_runs (environment, cron, scheduled_for DESC);
