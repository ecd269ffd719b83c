"""Releases: a build and the configuration that it runs with."""
