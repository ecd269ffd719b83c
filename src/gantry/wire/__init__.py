"""The shapes of the HTTP API: what the web room says and the CLI, or any other client, reads.

Times are RFC 3339 in UTC, durations are seconds, sizes are bytes.
"""
