"""The edge's cache, as the rest of Gantry knows it. The process behind it is `gantry.cache`."""
