"""The HTTP API below `/api/v1`, one file per area."""
