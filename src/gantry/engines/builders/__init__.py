"""Builders: from a source snapshot to an immutable, content-addressed artifact."""
