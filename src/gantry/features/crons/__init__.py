"""Commands that run on a schedule."""
