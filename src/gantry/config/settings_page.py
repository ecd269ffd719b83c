"""Writes docs/settings.md from the table of settings: `python -m gantry.config.settings_page docs/settings.md`."""

import sys
from collections.abc import Iterator
from pathlib import Path

from gantry.config.setting_table import SETTINGS, Scope, Setting

_INTRODUCTION = """\
# Settings

Made from the source by `scripts/generate-docs`; do not edit. `gantry settings` shows the same with the values that hold on
your machine, and where each comes from.

A variable of the environment wins over the settings file, and the file over the default. One file is read: `gantry.conf` in
`GANTRY_HOME`; without that variable `/etc/gantry/gantry.conf`, else `~/.gantry/gantry.conf`. It is TOML:

```toml
home = "/var/lib/gantry"
domain = "apps.example.com"
bind = "0.0.0.0"
http_port = 80
https_port = 443
acme_email = "ops@example.com"
```

`gantry setup` writes it, `gantry settings set KEY VALUE` changes it and keeps your comments. The control plane reads it when it
starts: `gantry up --restart` lets it start again while all sites go on.
"""
_SECTIONS = {
    Scope.PLATFORM: "## Of the platform\n\nIn the file or in the environment.\n",
    Scope.COMMANDS: "## Of commands\n\nIn the environment only.\n",
    Scope.DRILLS: "## Of drills\n\nIn the environment only, and not for you.\n",
}


def settings_page() -> str:
    """The whole page."""
    return "\n".join([_INTRODUCTION, *_sections()])


def _sections() -> Iterator[str]:
    for scope, title in _SECTIONS.items():
        yield title
        yield "| key | variable | default | what |\n|---|---|---|---|"
        for setting in SETTINGS:
            if setting.scope is scope:
                yield _row(setting)
        yield ""


def _row(setting: Setting) -> str:
    key = f"`{setting.key}`" if setting.scope is Scope.PLATFORM else ""
    default = f"`{setting.default}`" if setting.default else ""
    return f"| {key} | `{setting.variable}` | {default} | {setting.meaning} |"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(settings_page(), encoding="utf-8")
