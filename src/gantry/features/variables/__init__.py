"""Configuration values of an environment; secrets, all of them."""
