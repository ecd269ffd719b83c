"""Floor 7: the composition root. The only place that names implementations."""
