-- depends: 0018.scales

-- A build is found again by its key. `fresh` is part of the key: it changes when somebody wants everything built anew, and a
-- build keeps the one that it was made with.
ALTER TABLE projects ADD COLUMN fresh text NOT NULL DEFAULT '';
ALTER TABLE builds
    ADD COLUMN fresh text NOT NULL DEFAULT '',
    ADD COLUMN cached boolean NOT NULL DEFAULT true,
    ADD COLUMN tools jsonb NOT NULL DEFAULT '{}';
ALTER TABLE deploys ADD COLUMN use_cache boolean NOT NULL DEFAULT true;
