"""The command line: one file per group of commands; each parses, calls the HTTP API and renders the answer."""
