-- A table of its own, so that counting a view neither rewrites the announcement nor wakes the displays.
CREATE TABLE announcement_views (
  announcement_id bigint NOT NULL REFERENCES announcements (id) ON DELETE CASCADE,
  -- The day in the community's own timezone.
  day             date NOT NULL,
  views           bigint NOT NULL CHECK (views >= 0),
  PRIMARY KEY (announcement_id, day)
);
