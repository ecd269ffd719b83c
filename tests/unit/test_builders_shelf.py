"""What is kept of builds: also what an earlier version of Gantry has built."""

import hashlib
import json
from pathlib import Path

import pytest

from gantry.engines.builders.shelf import Shelf
from gantry.engines.builders.tool_store import installer_of
from gantry.kernel.trees import tree_digest
from tests.support.builders import write_tree


def test_an_artifact_of_an_earlier_version_is_known_to_be_whole(tmp_path: Path) -> None:
    staged = tmp_path / "staged"
    (staged / "app").mkdir(parents=True)
    (staged / "app" / "server.js").write_text("1")
    record = {
        "framework": "node",
        "web": ["node", "server.js"],
        "env": {"NODE_ENV": "production"},
        "assets": {},
        "engine": "node",
    }
    facts = json.dumps([tree_digest(staged / "app").digest, *record.values()], sort_keys=True)
    digest = hashlib.sha256(facts.encode()).hexdigest()
    (staged / "artifact.json").write_text(json.dumps({"digest": digest, **record}))
    shelf = Shelf(tmp_path / "artifacts")
    (tmp_path / "artifacts").mkdir()
    staged.rename(tmp_path / "artifacts" / digest)
    assert shelf.is_whole(digest)
    (shelf.root(digest) / "server.js").write_text("2")
    assert not shelf.is_whole(digest)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"flask-3.0.dist-info/INSTALLER": "pip\n", "pip-26.1.dist-info/METADATA": ""}, {"pip": "26.1"}),
        ({"flask-3.0.dist-info/INSTALLER": "uv"}, {"uv": ""}),
        ({"flask-3.0.dist-info/INSTALLER": ""}, {}),
        ({"flask-3.0.dist-info/INSTALLER": "../../*"}, {}),
        ({"pip-26.1.dist-info/INSTALLER": "pip\n"}, {}),
        ({}, {}),
    ],
)  # fmt: skip
def test_who_has_installed_python_packages(
    tmp_path: Path, files: dict[str, str], expected: dict[str, str]
) -> None:
    packages = "lib/python3.12/site-packages"
    write_tree(tmp_path, {f"{packages}/{name}": text for name, text in files.items()})
    assert installer_of(tmp_path) == expected
