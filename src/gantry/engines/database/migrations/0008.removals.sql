-- Ending an environment is an intent; the reactor carries it out, also after a crash in between.
ALTER TABLE environments
    ADD COLUMN removal_requested_at timestamptz,
    ADD COLUMN removal_requested_by text;
