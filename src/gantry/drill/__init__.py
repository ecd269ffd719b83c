"""Rehearsals on a platform of their own: real processes, real faults, and a client that forgives nothing."""
