-- depends: 0017.runs

-- How many instances somebody asked for by hand, of a release for as long as it stays live: `live_at` is that of the
-- release at the time, and another one when it goes live again.
CREATE TABLE scales (
    release text NOT NULL REFERENCES releases ON DELETE CASCADE,
    process text NOT NULL,
    count integer NOT NULL CHECK (count >= 0),
    live_at timestamptz NOT NULL,
    set_at timestamptz NOT NULL,
    set_by text NOT NULL,
    PRIMARY KEY (release, process)
);
