-- depends: 0010.names

-- Environments that are closed for maintenance; the others have no row.
CREATE TABLE maintenance (
    environment text PRIMARY KEY REFERENCES environments ON DELETE CASCADE,
    message text NOT NULL,
    allowed text[] NOT NULL,
    begun_at timestamptz NOT NULL,
    begun_by text NOT NULL
);
