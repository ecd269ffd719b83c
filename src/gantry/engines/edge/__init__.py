"""The edge: the proxy in front of everything. It is told the whole wanted configuration, never a change."""
