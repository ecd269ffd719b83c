"""Folders as values."""

import os
from pathlib import Path

from gantry.kernel.trees import copy_tree, entries, link_tree, remove_tree, seal_tree, tree_digest
from tests.support.builders import write_tree

_FILES = {"b.txt": "b", "a/c.txt": "c", "a.txt": "a", "a/.hidden/d": "d"}


def test_entries_come_in_the_order_of_their_bytes(tmp_path: Path) -> None:
    root = write_tree(tmp_path, _FILES)
    (root / "link").symlink_to("nowhere")
    (root / "empty").mkdir()
    os.mkfifo(root / "pipe")
    found = [(entry.path, entry.kind) for entry in entries(root)]
    assert found == [
        ("a.txt", "f"),
        ("a/.hidden/d", "f"),
        ("a/c.txt", "f"),
        ("b.txt", "f"),
        ("link", "l"),
    ]


def test_a_known_tree_has_a_known_digest(tmp_path: Path) -> None:
    """It is written into databases and computed by other machines: it must never change."""
    root = write_tree(tmp_path, _FILES)
    (root / "b.txt").chmod(0o755)
    (root / "link").symlink_to("a.txt")
    digest = tree_digest(root)
    assert digest.digest == "a836a7c998c49d91e7a91850ff8403d1e3687c63ba66036894a5e7fb6ad6e487"
    assert (digest.files, digest.size_bytes) == (5, 4)


def test_copies_are_equal_and_apart(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "tree", _FILES)
    (root / "a/up").symlink_to("../b.txt")
    (root / "folder").symlink_to("a")
    seal_tree(root)
    copy_tree(root, tmp_path / "copy")
    assert tree_digest(tmp_path / "copy") == tree_digest(root)
    (tmp_path / "copy/a.txt").write_text("changed")
    assert (root / "a.txt").read_text() == "a"
    remove_tree(root)
    assert not root.exists()


def test_links_share_what_is_sealed_and_copy_the_rest(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "tree", _FILES)
    (root / "a.txt").chmod(0o444)
    (root / "a/.hidden/d").chmod(0o444)
    link_tree(root, tmp_path / "linked", owner=None, private=lambda name: name == ".hidden")
    shared = {path for path in _FILES if (root / path).samefile(tmp_path / "linked" / path)}
    assert shared == {"a.txt"}
    assert tree_digest(tmp_path / "linked") == tree_digest(root)


def test_nothing_is_written_through_a_link_that_is_there(tmp_path: Path) -> None:
    outside = write_tree(tmp_path / "outside", {"precious": "data"})
    target = tmp_path / "target"
    target.mkdir()
    (target / "a.txt").symlink_to(outside / "precious")
    copy_tree(write_tree(tmp_path / "tree", {"a.txt": "evil"}), target)
    assert (outside / "precious").read_text() == "data"
    assert (target / "a.txt").read_text() == "evil"


def test_removing_takes_links_themselves(tmp_path: Path) -> None:
    outside = write_tree(tmp_path / "outside", {"precious": "data"})
    (tmp_path / "link").symlink_to(outside)
    remove_tree(tmp_path / "link")
    assert not (tmp_path / "link").is_symlink()
    assert (outside / "precious").exists()
    inner = write_tree(tmp_path / "tree", {"a": ""})
    (inner / "link").symlink_to(outside)
    remove_tree(inner)
    remove_tree(inner)
    assert (outside / "precious").exists()
