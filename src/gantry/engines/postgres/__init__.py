"""Postgres for projects: one database and one least-privilege role per environment."""
