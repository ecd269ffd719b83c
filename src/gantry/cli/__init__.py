"""The command line: one file per noun; each parses, calls the HTTP API and renders the answer."""
