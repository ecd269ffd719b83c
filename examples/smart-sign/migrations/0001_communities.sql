CREATE TABLE organizations (
  id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  slug        text NOT NULL UNIQUE CHECK (slug ~ '^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$'),
  name        text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 60),
  tagline     text NOT NULL DEFAULT '' CHECK (char_length(tagline) <= 90),
  accent      text NOT NULL CHECK (accent ~ '^#[0-9a-f]{6}$'),
  timezone    text NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT now()
);
