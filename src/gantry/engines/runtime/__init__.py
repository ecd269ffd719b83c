"""What runs processes: instances of releases, builds, release commands, and Gantry's own engines."""
