"""Drills: faults injected on purpose into a platform of its own, strict visitors meanwhile, and a judge of what held."""
