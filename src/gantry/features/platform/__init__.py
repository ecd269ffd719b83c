"""The platform as a whole: its parts, and everything at a glance."""
