"""Environments and projects that somebody asked to end."""
