"""Commands that people run by hand in an environment."""
