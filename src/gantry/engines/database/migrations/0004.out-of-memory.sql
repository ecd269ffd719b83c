-- depends: 0003.rollout-evidence

-- How often an instance was killed for its memory: a verdict counts it.
ALTER TABLE instances ADD COLUMN out_of_memory_kills integer NOT NULL DEFAULT 0;
