"""Floor 2: settings of the platform and the manifest of a project. The only reader of the environment."""
