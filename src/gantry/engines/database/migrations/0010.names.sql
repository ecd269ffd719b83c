-- depends: 0009.live-runs

-- A name is part of an address: nobody's may be the platform's own, or look like that of another environment, release or
-- build. The rule of gantry.toml (`project_name_fault`), for whatever comes by another way. Rows from before the rule stay
-- (NOT VALID): they can be seen and destroyed, and the edge gives them no address that somebody else has.
ALTER TABLE projects ADD CONSTRAINT projects_name CHECK (
    name ~ '^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$' AND name !~ '--'
    AND name NOT IN ('gantry', 'console', 'www', 'localhost')
) NOT VALID;
ALTER TABLE environments ADD CONSTRAINT environments_name CHECK (
    name ~ '^[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?$' AND name !~ '--'
) NOT VALID;
