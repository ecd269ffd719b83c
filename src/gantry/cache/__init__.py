"""A shared cache behind the edge: a process that answers with what a product marks cacheable.

A house of its own: it knows the kernel and nothing else of Gantry, and the rest knows it only through
`gantry.engines.edge_cache`, which starts its process and asks it.
"""
