"""Floor 1: time, identity, errors and tasks. Standard library only; knows nothing of Gantry's domain."""
