-- depends: 0019.build-cache

-- The variables that a build is made with, sealed as one JSON object: those that its key was made of. NULL: it was claimed by an
-- older Gantry, or nothing can be made of it any more.
ALTER TABLE builds ADD COLUMN variables_sealed bytea;
