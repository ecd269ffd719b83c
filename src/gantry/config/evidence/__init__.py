"""What a repository says of itself, in files of its own and of other platforms: what a first gantry.toml proposes."""
