"""Which Node and Python a product asks for, and which of those that there are it gets.

A product says it in a file of its version manager, else in package.json or pyproject.toml. The most exact place wins. Of
Node every major that `NODES` names can be had; a product that asks for another version of such a major gets the one here.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version
from semantic_version import NpmSpec, Version as NodeVersion

from gantry.engines.builders.tree import Tree, read_package
from gantry.kernel.errors import UserError

# Major -> its newest wheel and the hashes of that wheel for each platform, beside the one that Gantry is installed with.
NODES: Mapping[int, tuple[str, tuple[str, ...]]] = {
    22: (
        "22.20.0",
        (
            "1fccac931faa210d22b6962bcdbc99269d16221d831b9a118bbb80fe434a60b8",
            "3279eb1b99521f0d20a850bbfc0159a658e0e85b843b3cf31b090d7da9f10dfc",
            "455add5ac4f01c9c830ab6771dbfad0fdf373f9b040d3aabe8cca9b6c56654fb",
            "4bd658962f24958503541963e5a6f2cc512a8cb301e48a69dc03c879f40a28ae",
            "5d8c12f97eea7028b34a84446eb5ca81829d0c428dfb4e647e09ac617f4e21fa",
            "7a2b0989194148f66e9295d8f11bc463bde02cbe276517f4d20a310fb84780ae",
            "a62d47c9fd9c32191dff65bbe60261504f26992a0a19fe8b4d523256a84bd351",
            "b5c500aa4dc046333ecb0a80f183e069e5c30ce637f1c1a37166b2c0b642dc21",
            "d29705797b33bade62d79d8f106c2453c8a26442a9b2a5576610c0f7e7c351ed",
        ),
    ),
    20: (
        "20.18.0",
        (
            "1d574a3d0e503b42414e80b4529da9fc71104b0d5e1d75606b3fb5802960fb6f",
            "33b138288dbeb9aafc6d54f43fbca6545b37e8fd9cbb8f68275ff2a47d4fed07",
            "51c0cecb429a111351a54346909e672a57b96233a363c79cc0a2bbdbfa397304",
            "74273eab1c2423c04d034d3f707f517da32d3a2b20ca244b5667f3a4e38003ac",
            "bb4009d4d6abfb6765fabb62f322efdc520b6930d041af1d7f64d58445ce3e91",
            "f62e38288d3a129b962dcba61b911d72b3d691935b8a2facfc0fa9433d9260b5",
            "f95fb0989dfc54fd6932850e589000a8d6fc902527cebe7afd747696561d94b8",
        ),
    ),
}
_LTS = {"hydrogen": "18", "iron": "20", "jod": "22", "krypton": "24"}
_ANY = ("", "*", "x", "latest", "node", "stable", "current", "lts", "lts/*", "system")
_MAX_LENGTH = 200
_PLAIN = re.compile(r"v?(\d+)(?:\.(?:\d+|x|\*))*")
_FIRST = re.compile(r"\d+")
_CARET = re.compile(r"([\^~])\s*(\d+)(?:\.(\d+))?(?:\.(\d+))?")
_SPACED = re.compile(r"([<>=^~])\s+")
_TOOL_VERSIONS = ".tool-versions"
_MISE = ("mise.toml", ".mise.toml", "mise/config.toml", ".config/mise.toml")


@dataclass(frozen=True, slots=True)
class Wish:
    """A version that a product asks for, as it says it, and where."""

    text: str
    where: str


@dataclass(frozen=True, slots=True)
class Python:
    """A Python of this machine.

    Attributes:
        home: where it is installed; empty for the one that Gantry runs on.
    """

    version: str
    home: str = ""


def node_wish(product: Tree, top: Tree, manifest: str = "") -> Wish | None:
    """Which Node is asked for; `None` when nothing says it."""
    if manifest:
        return Wish(manifest, "[build] node")
    trees = (product,) if product == top else (product, top)
    return next((wish for tree in trees for wish in _node_wishes(tree)), None)


def _node_wishes(tree: Tree) -> Iterator[Wish]:
    package = read_package(tree)
    for where, text in (
        ("package.json: volta.node", _inside(package.raw, "volta", "node")),
        (".nvmrc", _first_line(tree, ".nvmrc")),
        (".node-version", _first_line(tree, ".node-version")),
        (_TOOL_VERSIONS, _of_tools(tree, "nodejs", "node")),
        *_of_mise(tree, "node", "nodejs"),
        ("package.json: devEngines.runtime", _runtime(package.raw)),
        ("package.json: engines.node", _inside(package.raw, "engines", "node")),
    ):
        if text:
            yield Wish(text[:_MAX_LENGTH], where)


def python_wish(product: Tree, top: Tree, manifest: str = "") -> Wish | None:
    """Which Python is asked for; `None` when nothing says it."""
    if manifest:
        return Wish(manifest, "[build] python")
    trees = (product,) if product == top else (product, top)
    return next((wish for tree in trees for wish in _python_wishes(tree)), None)


def _python_wishes(tree: Tree) -> Iterator[Wish]:
    project = read_toml(tree, "pyproject.toml")
    for where, text in (
        (".python-version", _first_line(tree, ".python-version")),
        ("runtime.txt", _first_line(tree, "runtime.txt").removeprefix("python-")),
        (_TOOL_VERSIONS, _of_tools(tree, "python")),
        *_of_mise(tree, "python"),
        ("Pipfile", _inside(read_toml(tree, "Pipfile"), "requires", "python_version")),
        ("pyproject.toml: requires-python", _inside(project, "project", "requires-python")),
        ("pyproject.toml", _inside(project, "tool", "poetry", "dependencies", "python")),
    ):
        if text:
            yield Wish(text[:_MAX_LENGTH], where)


def choose_node(wish: Wish | None, own: str) -> str:
    """The version of Node that a product gets.

    Parameters:
        own: the version that Gantry is installed with; taken where it fits.

    Raises:
        UserError: `build.no-node` none that there is fits.
    """
    there = (own, *(version for version, _ in NODES.values()))
    if wish is None:
        return own
    for version in there:
        if _node_fits(wish.text, version):
            return version
    majors = ", ".join(sorted(version.partition(".")[0] for version in there))
    raise UserError(
        "build.no-node",
        f"{wish.where} asks for Node {wish.text}; there are the majors {majors}",
        hint=f'[build] node = "{own.partition(".")[0]}" in gantry.toml takes another one, if the product runs on it',
        where=wish.where,
    )


def _node_fits(text: str, version: str) -> bool:
    plain = text.strip().lower()
    plain = _LTS.get(plain.removeprefix("lts/"), plain)
    if plain in _ANY:
        return True
    if exact := _PLAIN.fullmatch(plain):
        return exact[1] == version.partition(".")[0]  # whichever of that major there is
    plain = _SPACED.sub(r"\1", plain)
    try:
        if NodeVersion(version) in NpmSpec(plain):
            return True
    except ValueError:
        return False
    # "~20.11" or "^20.19" wants a version of the major that may not be here: the major is what counts.
    lone = plain.startswith(("^", "~")) and not {" ", "|"} & set(plain)
    first = _FIRST.search(plain)
    return bool(lone and first and first[0] == version.partition(".")[0])


def choose_python(wish: Wish | None, own: str, others: tuple[Python, ...]) -> Python:
    """The Python that a product gets: the one that Gantry runs on where it fits, else the newest.

    Raises:
        UserError: `build.no-python` none that there is fits.
    """
    there = (Python(own), *sorted(others, key=lambda item: Version(item.version), reverse=True))
    if wish is None:
        return there[0]
    wanted = _specifiers(wish)
    found = next((item for item in there if wanted.contains(item.version)), None)
    if found is not None:
        return found
    minor = next(iter(re.findall(r"3\.\d+", wish.text)), "3.13")
    has = ", ".join(dict.fromkeys(item.version for item in there))
    raise UserError(
        "build.no-python",
        f"{wish.where} asks for Python {wish.text}; this machine has {has}",
        hint=f"uv python install {minor} (or put a python{minor} on the PATH of gantry), then deploy again",
        where=wish.where,
    )


def _specifiers(wish: Wish) -> SpecifierSet:
    """What is asked for, as Python's own packaging says it."""
    text = wish.text.strip().lower().removeprefix("cpython").lstrip("-@")
    if "||" in text:  # Poetry's alternatives: the first one
        text = text.partition("||")[0].strip()
    if re.fullmatch(r"\d+(\.\d+)?(\.(\d+|\*))?", text):
        minor = ".".join(text.split(".")[:2])
        text = f"=={minor}.*" if "." in minor else f">={minor}"  # any patch of it
    text = _CARET.sub(_as_range, text)
    try:
        return SpecifierSet(text)
    except InvalidSpecifier:
        raise UserError(
            "build.no-python",
            f"{wish.where} asks for Python {wish.text!r}, which is no version",
            hint='write it like 3.12 or >=3.11, or set [build] python = "3.12" in gantry.toml',
            where=wish.where,
        ) from None


def _as_range(match: re.Match[str]) -> str:
    sign, major, minor, patch = match.groups()
    lower = ".".join(filter(None, (major, minor, patch)))
    upper = f"{major}.{int(minor) + 1}" if sign == "~" and minor else str(int(major) + 1)
    return f">={lower},<{upper}"


def read_toml(tree: Tree, path: str) -> Mapping[str, object]:
    """A TOML file; empty when there is none or its own tools will complain of it."""
    try:
        return tomllib.loads(tree.text(path) or "")
    except tomllib.TOMLDecodeError:
        return {}


def _inside(value: object, *names: str) -> str:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value.strip() if isinstance(value, str) else ""


def _first_line(tree: Tree, path: str) -> str:
    lines = (line.partition("#")[0].strip() for line in (tree.text(path) or "").splitlines())
    return next((line for line in lines if line), "")


def _of_tools(tree: Tree, *names: str) -> str:
    for line in (tree.text(_TOOL_VERSIONS) or "").splitlines():
        words = line.partition("#")[0].split()
        if len(words) > 1 and words[0] in names:
            return words[1]
    return ""


def _of_mise(tree: Tree, *names: str) -> Iterator[tuple[str, str]]:
    """What mise's files say of a tool: a version, a table with one, or a list whose first is the one that is used."""
    for path in _MISE:
        tools = read_toml(tree, path).get("tools")
        for name in names:
            value = tools.get(name) if isinstance(tools, dict) else None
            if isinstance(value, list):
                value = value[0] if value else None
            text = _inside(value, "version") if isinstance(value, dict) else value
            if isinstance(text, str):
                yield path, text.strip()


def _runtime(package: Mapping[str, object]) -> str:
    """npm's `devEngines.runtime`, of which there may be several."""
    found = package.get("devEngines")
    runtimes = found.get("runtime") if isinstance(found, dict) else None
    for runtime in runtimes if isinstance(runtimes, list) else [runtimes]:
        if _inside(runtime, "name") == "node":
            return _inside(runtime, "version")
    return ""
