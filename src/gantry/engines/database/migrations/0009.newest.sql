-- depends: 0008.removals

-- Every look at the platform asks for the newest of each environment; it must not cost more the more there were.
CREATE INDEX deploys_newest ON deploys (environment, requested_at DESC, id DESC);
CREATE INDEX rollouts_newest ON rollouts (environment, started_at DESC, id);
