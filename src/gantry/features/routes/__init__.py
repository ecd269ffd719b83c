"""What the edge should do, derived from everything else."""
