-- Says which community changed, not what: listeners read the announcements again, so a notification that is lost or
-- doubled does no harm, and the 8,000 byte limit of a payload is never met. Postgres delivers it on commit.
CREATE FUNCTION notify_announcements() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  changed_slug text;
BEGIN
  SELECT slug INTO changed_slug FROM organizations WHERE id = COALESCE(NEW.organization_id, OLD.organization_id);
  -- Null when the community itself is being deleted.
  IF changed_slug IS NOT NULL THEN
    PERFORM pg_notify('smart_sign_announcements', changed_slug);
  END IF;
  RETURN NULL;
END;
$$;

CREATE TRIGGER announcements_notify AFTER INSERT OR UPDATE OR DELETE ON announcements
  FOR EACH ROW EXECUTE FUNCTION notify_announcements();
