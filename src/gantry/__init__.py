"""Gantry: takes a team's web product from a commit to production, and keeps it there."""

__version__ = "0.1.0"
