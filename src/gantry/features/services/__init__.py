"""Managed dependencies of environments: Postgres databases and Redis caches."""
