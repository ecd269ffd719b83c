"""Builds: one artifact per distinct tree, made once."""
