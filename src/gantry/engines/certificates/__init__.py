"""Where TLS certificates come from: the local authority for `*.localhost`, ACME for real domains."""
