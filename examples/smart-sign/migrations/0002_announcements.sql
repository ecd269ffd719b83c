CREATE TABLE announcements (
  id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  organization_id bigint NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
  -- Made by the form: a form that is sent twice, or a query that is sent again after a lost connection, inserts once.
  request_key     uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
  type            text NOT NULL CHECK (type IN ('urgent', 'facility', 'event', 'opportunity', 'administrative')),
  visibility      text NOT NULL CHECK (visibility IN ('public', 'members', 'draft')),
  title           text NOT NULL CHECK (char_length(title) BETWEEN 1 AND 90),
  body            text NOT NULL DEFAULT '' CHECK (char_length(body) <= 500),
  starts_at       timestamptz NOT NULL DEFAULT now(),
  expires_at      timestamptz CHECK (expires_at > starts_at),
  archived_at     timestamptz,
  created_at      timestamptz NOT NULL DEFAULT now(),
  updated_at      timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX announcements_on_display ON announcements (organization_id, starts_at DESC)
  WHERE visibility = 'public' AND archived_at IS NULL;

CREATE INDEX announcements_to_archive ON announcements (expires_at) WHERE archived_at IS NULL;
