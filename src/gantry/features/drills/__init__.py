"""Drills: faults done on purpose, drawn from a seed, and what must hold meanwhile."""
