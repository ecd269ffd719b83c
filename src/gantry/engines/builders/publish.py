"""What of a folder is shown to everybody: pages and what they need, not what a repository keeps for its tools.

As hosted platforms do: names that begin with a dot stay out, but for `.well-known`, and no link that leads out of the folder
is followed. A site whose folder is the repository itself also keeps the files of tools to itself, in all its folders, unless
its page or one beside them names them.
"""

import os
import re
from pathlib import Path

from gantry.kernel.trees import copy_tree, remove_tree

_SHOWN = (".well-known",)
_NEVER = ("gantry.toml", "node_modules", "__pycache__")
_OF_TOOLS = frozenset(
    ("vercel.json", "netlify.toml", "wrangler.toml", "firebase.json", "fly.toml", "render.yaml", "app.json", "procfile",
     "dockerfile", "containerfile", "makefile", "justfile", "vagrantfile", "jenkinsfile", "package.json",
     "package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "pnpm-workspace.yaml", "yarn.lock", "bun.lock",
     "bun.lockb", "deno.json", "deno.lock", "composer.json", "composer.lock", "gemfile", "gemfile.lock", "requirements.txt",
     "pyproject.toml", "pipfile", "pipfile.lock", "poetry.lock", "uv.lock", "tsconfig.json", "jsconfig.json", "turbo.json",
     "nx.json", "lerna.json", "biome.json", "codecov.yml", "azure-pipelines.yml", "bitbucket-pipelines.yml",
     "cloudbuild.yaml", "appveyor.yml")
)  # fmt: skip
_OF_TOOLS_TOO = re.compile(
    r".+\.(config|conf)\.[cm]?[jt]s|(docker-)?compose(\..+)?\.ya?ml|dockerfile\..+|tsconfig\..+\.json|gulpfile\..+|gruntfile\..+"
)
_MAX_PAGE_BYTES = 2_000_000
_MAX_PAGES = 20


def publish(source: Path, target: Path, *, whole: bool) -> None:
    """Copy `source` to `target` without what is not for visitors.

    Parameters:
        whole: the folder is the product's own, not what its build wrote.
    """
    copy_tree(source, target)
    home = _text(target / "index.html") if whole else ""
    for path, folders, files in os.walk(target):
        place = Path(path)
        pages = home + _pages(place, files) if whole and any(map(_is_of_tools, files)) else home
        for name in (*folders, *files):
            of_tools = whole and _is_of_tools(name) and name not in pages
            if _is_hidden(name) or name in _NEVER or of_tools or _leads_out(place / name, target):
                remove_tree(place / name)
        folders[:] = [name for name in folders if (place / name).is_dir()]


def _pages(folder: Path, files: list[str]) -> str:
    """The pages of one folder, as text."""
    pages = sorted(name for name in files if name.endswith((".html", ".htm")))
    return "".join(_text(folder / name) for name in pages[:_MAX_PAGES])


def _text(path: Path) -> str:
    if path.is_symlink() or not path.is_file():
        return ""
    with path.open("rb") as file:
        return file.read(_MAX_PAGE_BYTES).decode("utf-8", "replace")


def _is_hidden(name: str) -> bool:
    return name.startswith(".") and name not in _SHOWN


def _is_of_tools(name: str) -> bool:
    plain = name.lower()
    return plain in _OF_TOOLS or _OF_TOOLS_TOO.fullmatch(plain) is not None


def _leads_out(path: Path, target: Path) -> bool:
    """Whether a link shows something that is not published: outside of the folder, or hidden in it."""
    if not path.is_symlink():
        return False
    top, real = os.path.realpath(target), os.path.realpath(path)
    if not real.startswith(top + os.sep) or not os.path.lexists(real):
        return True
    return any(map(_is_hidden, Path(real).relative_to(top).parts))
