"""Floor 1: time, identity, errors, tasks, and names that several houses write. Standard library only."""
