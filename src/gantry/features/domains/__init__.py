"""The names under which sites are found: what the world's DNS has of each, its certificate, and what to do."""
