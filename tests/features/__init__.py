"""Services and queries on a real database."""
