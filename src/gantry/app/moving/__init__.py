"""`gantry export` and `gantry import`: a platform in one encrypted file, for another machine."""
