-- depends: 0004.out-of-memory

-- The numbers of both releases at the beginning of the stage and at the last look, of visitors and of Gantry's own requests.
ALTER TABLE rollout_stages DROP COLUMN baseline;
ALTER TABLE rollout_stages ADD COLUMN windows jsonb;
