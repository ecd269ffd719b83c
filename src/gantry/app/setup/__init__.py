"""`gantry setup`: makes a machine a server, in steps that are shown first and may be repeated."""
