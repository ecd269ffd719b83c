"""Instances: the processes of releases, kept as they should be."""
