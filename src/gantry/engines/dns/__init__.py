"""The domain name system: what the world finds under a name, and records that prove whose a name is."""
