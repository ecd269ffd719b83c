"""The move of an environment's traffic from one release to another, in stages, with a verdict at each."""
