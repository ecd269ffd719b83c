"""Workspaces: several packages in one repository, installed together from its top."""

import re
from collections.abc import Iterator
from pathlib import Path

from pathspec import GitIgnoreSpec

from gantry.config.evidence.files import Files, table

_ITEM = re.compile(r"\s*-\s*[\"']?([^\"'#]+)")
_MAX_DEPTH = 6


def member_patterns(top: Path) -> tuple[str, ...]:
    """How the workspace at `top` names its members; empty when there is none."""
    files = Files(top, top)
    listed = files.json("package.json").get("workspaces")
    listed = table(listed).get("packages", listed)
    uv = table(table(files.toml("pyproject.toml").get("tool")).get("uv")).get("workspace")
    members = table(uv).get("members")
    found = [
        item
        for group in (listed, members)
        for item in (group if isinstance(group, list) else ())
        if isinstance(item, str)
    ]
    return (*found, *_of_pnpm(files.text("pnpm-workspace.yaml")))


def workspace_top(folder: Path) -> Path:
    """The folder whose workspace `folder` is a member of; `folder` itself when there is none above it."""
    for above in folder.parents[:_MAX_DEPTH]:
        if patterns := member_patterns(above):
            inside = folder.relative_to(above).as_posix()
            # Later ones win, and `!` leaves out, as it does in ignore files.
            spec = GitIgnoreSpec.from_lines([_anchored(pattern) for pattern in patterns])
            return above if spec.match_file(f"{inside}/") else folder
        if (above / ".git").exists():
            break
    return folder


def _anchored(pattern: str) -> str:
    sign, path = ("!", pattern[1:]) if pattern.startswith("!") else ("", pattern)
    return f"{sign}/{path.removeprefix('./').strip('/')}/"


def _of_pnpm(text: str) -> Iterator[str]:
    inside = False
    for line in text.splitlines():
        if inside and (item := _ITEM.match(line)):
            yield item[1].strip()
        elif line.strip() and not line.lstrip().startswith("#"):
            inside = line.startswith("packages:")
