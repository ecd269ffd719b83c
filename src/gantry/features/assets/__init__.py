"""Hashed files of kept builds, served by the edge's asset store."""
