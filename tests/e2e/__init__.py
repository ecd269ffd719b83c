"""The whole platform for real: Envoy, Postgres, Node, Next.js, a browser."""
