"""A project's tree on its way to Gantry: which files belong to it, its digest, and the archive that is sent."""
