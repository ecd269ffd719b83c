"""Floor 6: the HTTP API and the console. Handlers check, record an intent, and answer; the reactor acts."""
