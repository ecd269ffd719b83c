"""The control plane's memory: a Postgres database, asked in plain SQL from each feature's `store.py`."""
