"""Workspaces: several packages in one repository, installed together from its top."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pathspec import GitIgnoreSpec

from gantry.config.evidence.files import Files, table

_ITEM = re.compile(r"^\s*-\s*[\"']?([^\"'#\n]+?)[\"']?\s*(?:#.*)?$")
_MAX_DEPTH = 6


def member_patterns(top: Path) -> tuple[str, ...]:
    """How the workspace at `top` names its members; empty when there is none."""
    files = Files(top, top)
    uv = table(table(files.toml("pyproject.toml").get("tool")).get("uv")).get("workspace")
    members = table(uv).get("members")
    of_node = patterns_of_node(files.json("package.json"), files.text("pnpm-workspace.yaml"))
    return (*of_node, *_texts(members))


def patterns_of_node(package: Mapping[str, Any], pnpm: str) -> tuple[str, ...]:
    """How npm, Yarn, Bun and pnpm are told which folders are members.

    Parameters:
        package: the package.json at the workspace's top.
        pnpm: the text of pnpm-workspace.yaml; empty when there is none.
    """
    listed = package.get("workspaces")
    return (*_texts(table(listed).get("packages", listed)), *_of_pnpm(pnpm))


def _texts(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


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
