"""The audit log: every change, hash-chained."""
