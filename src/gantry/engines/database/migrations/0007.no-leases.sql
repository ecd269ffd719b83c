-- One control plane leads, by a lock that ends with its session; nobody read these.
ALTER TABLE deploys DROP COLUMN lease_owner, DROP COLUMN heartbeat_at;
