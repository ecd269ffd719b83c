"""The control planes of other machines that a person logged in to: their addresses and tokens, in the person's own folder.

`$XDG_CONFIG_HOME/gantry/remotes.toml`, or `~/.config/gantry/remotes.toml`, readable by its owner alone.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from gantry.kernel.errors import UserError
from gantry.kernel.files import replace_file

_MAX_BYTES = 256_000


@dataclass(frozen=True, slots=True)
class Remote:
    """A control plane that one logged in to.

    Attributes:
        account: as which the token acts there.
        ca_file: the certificate authority to trust for it, beside the system's; empty for none.
    """

    url: str
    token: str = field(repr=False)
    account: str = ""
    ca_file: str = ""


@dataclass(frozen=True, slots=True)
class Remotes:
    """What is remembered.

    Attributes:
        current: the URL that commands go to where nothing else is said; empty for this machine's own platform.
        folders: folder -> the URL that commands in it and below go to.
    """

    remotes: Mapping[str, Remote] = field(default_factory=dict)
    current: str = ""
    folders: Mapping[str, str] = field(default_factory=dict)

    def of_folder(self, folder: Path) -> Remote | None:
        """The one that the nearest linked folder names."""
        for place in (folder, *folder.parents):
            if url := self.folders.get(str(place)):
                return self.remotes.get(url)
        return None

    def added(self, remote: Remote, *, folder: Path | None = None) -> "Remotes":
        """With one more, which becomes the current one, or that of a folder."""
        found = replace(self, remotes={**self.remotes, remote.url: remote})
        if folder is None:
            return replace(found, current=remote.url)
        return replace(found, folders={**self.folders, str(folder): remote.url})

    def without(self, url: str) -> "Remotes":
        """Without one of them."""
        return Remotes(
            {key: remote for key, remote in self.remotes.items() if key != url},
            "" if self.current == url else self.current,
            {folder: to for folder, to in self.folders.items() if to != url},
        )


def remotes_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Where they are remembered."""
    base = environ.get("XDG_CONFIG_HOME") or ""
    if base.startswith("/"):
        return Path(base) / "gantry" / "remotes.toml"
    try:
        home = Path(environ.get("HOME") or "~").expanduser()
    except RuntimeError:
        home = Path("/nonexistent")  # an account without a folder remembers nothing
    return home / ".config" / "gantry" / "remotes.toml"


def read_remotes(file: Path) -> Remotes:
    """What is remembered; nothing where there is no file.

    Raises:
        UserError: `remotes.unreadable`.
    """
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise _unreadable(file, "is too large")
        data = tomllib.loads(file.read_text(encoding="utf-8"))
        return Remotes(
            {
                url: Remote(
                    url,
                    str(item["token"]),
                    str(item.get("account", "")),
                    str(item.get("ca_file", "")),
                )
                for url, item in data.get("remotes", {}).items()
            },
            str(data.get("current", "")),
            {str(folder): str(url) for folder, url in data.get("folders", {}).items()},
        )
    except (FileNotFoundError, NotADirectoryError):
        return Remotes()
    except OSError as error:
        raise _unreadable(file, f"cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable(file, f"cannot be read: {error}") from None


def write_remotes(file: Path, remotes: Remotes) -> None:
    """Remember.

    Raises:
        UserError: `remotes.unwritable`.
    """
    import tomlkit  # noqa: PLC0415 -- to write only

    document = tomlkit.document()
    document.add(
        tomlkit.comment(
            "Where gantry login leads: gantry remotes, gantry logout. Keep it to yourself."
        )
    )
    document["current"] = remotes.current
    document["folders"] = dict(remotes.folders)
    document["remotes"] = {
        url: {"token": item.token, "account": item.account, "ca_file": item.ca_file}
        for url, item in remotes.remotes.items()
    }
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(file, tomlkit.dumps(document), mode=0o600)
    except OSError as error:
        raise UserError(
            "remotes.unwritable",
            f"the login cannot be remembered: {error.strerror}",
            hint="set GANTRY_URL and GANTRY_TOKEN instead",
            where=str(file),
        ) from None


def _unreadable(file: Path, fault: str) -> UserError:
    return UserError(
        "remotes.unreadable",
        f"what gantry login remembered {fault}",
        hint=f"correct it, or delete it and log in again: rm {file}",
        where=str(file),
    )
