"""The control plane's own log: one line an event, to standard error, with the time in UTC."""

import logging
import time


def configure_logs() -> None:
    """Log from INFO up; libraries that talk much from WARNING up."""
    formatter = logging.Formatter("%(asctime)sZ %(levelname)-7s %(name)s: %(message)s")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for name in ("httpx", "httpcore", "psycopg", "yoyo", "uvicorn.error", "acme"):
        logging.getLogger(name).setLevel(logging.WARNING)
