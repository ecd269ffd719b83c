"""Redis for projects that ask for it: one small server per environment."""
