"""A shared cache behind the edge, for answers that a product marks cacheable."""
