"""`gantry upgrade`: another version is installed beside this one, takes over, and gives back when it does not come up."""
