"""Which variables reach a build."""

from pathlib import Path

import pytest

from gantry.config.load import load_manifest
from gantry.engines.builders.protocol import BuildRequest
from gantry.engines.builders.workshop import LocalWorkshop
from gantry.engines.sources.protocol import Snapshot
from gantry.features.builds.request import build_request, with_variables
from tests.support.builders import a_request, a_workshop, write_tree

_NEXT = '{"dependencies": {"next": "16.4.5"}}'
_MANIFEST = load_manifest('[project]\nname = "shop"\n[build]\nenv = ["NPM_TOKEN", "UNSET"]\n')
_VARIABLES = {"NEXT_PUBLIC_API": "https://api", "NPM_TOKEN": "n", "DATABASE_URL": "d", "SECRET": "s"}  # fmt: skip


@pytest.fixture
def workshop(tmp_path: Path) -> LocalWorkshop:
    return a_workshop(tmp_path / "home")


def _request(workshop: LocalWorkshop, root: Path, variables: dict[str, str]) -> BuildRequest:
    snapshot = Snapshot("digest", root, 1, 1)
    request = build_request("b-1", _MANIFEST, snapshot, action_key="k")
    return with_variables(
        request,
        _MANIFEST,
        variables,
        public=workshop.public_prefixes(request),
        of_services=("DATABASE_URL", "REDIS_URL"),
    )


def test_public_variables_reach_the_build_and_those_that_the_manifest_names(
    workshop: LocalWorkshop, tmp_path: Path
) -> None:
    root = write_tree(tmp_path / "tree", {"package.json": _NEXT})
    request = _request(workshop, root, _VARIABLES)
    assert request.env == {"NEXT_PUBLIC_API": "https://api", "NPM_TOKEN": "n"}
    assert request.secret_names == {"NPM_TOKEN"}, "what everybody may see is not masked in the log"
    assert request.withheld == ("DATABASE_URL", "SECRET")
    assert request.of_services == ("REDIS_URL",), "the team set the other one itself"


def test_another_public_value_is_another_build_and_another_secret_is_not(
    workshop: LocalWorkshop, tmp_path: Path
) -> None:
    root = write_tree(tmp_path / "tree", {"package.json": _NEXT})
    key = workshop.key(_request(workshop, root, _VARIABLES))
    changed = {name: _request(workshop, root, _VARIABLES | {name: "other"}) for name in _VARIABLES}
    others = {name for name, request in changed.items() if workshop.key(request) != key}
    assert others == {"NEXT_PUBLIC_API", "NPM_TOKEN"}
    assert workshop.key(_request(workshop, root, _VARIABLES | {"NEW": "x"})) == key


@pytest.mark.parametrize(
    ("files", "root", "prefixes"),
    [
        ({"package.json": _NEXT}, "", ("NEXT_PUBLIC_",)),
        ({"package.json": "{}", "apps/web/package.json": _NEXT}, "apps/web", ("NEXT_PUBLIC_",)),
        ({"package.json": _NEXT, "apps/web/package.json": "{}"}, "apps/web", ()),
        (
            {"package.json": '{"devDependencies": {"vite": "7"}}', "package-lock.json": "{}",
             "apps/web/package.json": '{"dependencies": {"astro": "7"}}'},
            "apps/web",
            ("PUBLIC_", "VITE_"),
        ),
        ({"package.json": '{"devDependencies": {"vite": "7"}}', "vite.config.ts": "envPrefix: 'APP_'"}, "", ("APP_", "VITE_")),
        ({"main.py": ""}, "", ()),
        ({"package.json": "not json"}, "", ()),
    ],
    ids=["product", "folder", "a folder of its own", "workspace", "prefix", "python", "broken"],
)  # fmt: skip
def test_the_packages_of_the_product_say_what_is_public(
    workshop: LocalWorkshop,
    tmp_path: Path,
    files: dict[str, str],
    root: str,
    prefixes: tuple[str, ...],
) -> None:
    request = a_request(write_tree(tmp_path / "tree", files), root=root)
    assert workshop.public_prefixes(request) == prefixes
