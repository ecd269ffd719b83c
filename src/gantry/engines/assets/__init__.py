"""Immutable files of all kept builds, served without the products' instances."""
