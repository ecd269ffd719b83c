"""Snapshots of a project's tree: what a build is made from. Content-addressed, immutable, without secrets."""
