"""Where everything lies below `GANTRY_HOME`."""

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

# A unix socket's path may have 107 bytes; the longest name below the run folder needs some 40 of them.
_MAX_SOCKET_FOLDER = 66


@dataclass(frozen=True, slots=True)
class Paths:
    """The folders of one platform. Nothing is created here; each engine makes what it owns."""

    home: Path

    @property
    def run(self) -> Path:
        """Sockets. Falls back to the temporary folder when `home` is too long for a socket's path."""
        folder = self.home / "run"
        if len(str(folder)) <= _MAX_SOCKET_FOLDER:
            return folder
        name = hashlib.sha256(str(self.home).encode()).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"gantry-{name}"

    @property
    def api_socket(self) -> Path:
        """Where the control plane listens."""
        return self.run / "api.sock"

    @property
    def edge_inner_socket(self) -> Path:
        """Where the edge's cache asks the edge for what it does not have."""
        return self.run / "inner.sock"

    @property
    def lock(self) -> Path:
        """Held by the control plane as long as it lives."""
        return self.home / "control.lock"

    @property
    def starting(self) -> Path:
        """What starting control planes say of their progress and their errors, a line of JSON each."""
        return self.home / "starting.jsonl"

    @property
    def ended(self) -> Path:
        """When somebody ended the platform on purpose; not there while it runs."""
        return self.home / "ended"

    @property
    def keys(self) -> Path:
        """Secrets of the platform itself, mode 0700."""
        return self.home / "keys"

    @property
    def operator_token(self) -> Path:
        """The token by which the operator of this machine is known, mode 0600."""
        return self.keys / "operator.token"

    @property
    def processes(self) -> Path:
        """One folder per process: its specification, log and exit status."""
        return self.home / "processes"

    @property
    def edge(self) -> Path:
        """Envoy's configuration files."""
        return self.home / "edge"

    @property
    def postgres(self) -> Path:
        """One folder per cluster: `system` and `data`."""
        return self.home / "postgres"

    @property
    def redis(self) -> Path:
        """One folder per cache server."""
        return self.home / "redis"

    @property
    def reserve(self) -> Path:
        """A file of room that is given up when the disk is full."""
        return self.home / "reserve"

    @property
    def sources(self) -> Path:
        """Snapshots."""
        return self.home / "sources"

    @property
    def artifacts(self) -> Path:
        """What builds made."""
        return self.home / "artifacts"

    @property
    def assets(self) -> Path:
        """Files that the edge serves without an instance: those of all kept builds."""
        return self.home / "assets"

    @property
    def builds(self) -> Path:
        """Working folders of builds."""
        return self.home / "builds"

    @property
    def cache(self) -> Path:
        """Everything that may be deleted at any time, at the price of a slower build."""
        return self.home / "cache"
