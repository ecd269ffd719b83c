-- depends: 0008.removals

-- What is live runs, whatever a control plane believes. An earlier version could give visitors back to a release that
-- had been retired meanwhile, and nothing started it again: such a site comes back with this migration.
UPDATE releases SET state = 'running', retired_at = NULL
    FROM environments WHERE environments.live_release = releases.id AND releases.state <> 'running';
UPDATE environments SET live_release = NULL WHERE live_release NOT IN (SELECT id FROM releases);

ALTER TABLE releases ADD UNIQUE (id, state);
ALTER TABLE environments ADD COLUMN live_state text NOT NULL GENERATED ALWAYS AS ('running') STORED;
ALTER TABLE environments ADD CONSTRAINT environments_live_runs
    FOREIGN KEY (live_release, live_state) REFERENCES releases (id, state);
