"""What differs between two manifests: values, never their texts, in the words of gantry.toml."""

import pytest
from hypothesis import given, strategies as st

from gantry.config.differences import differences
from gantry.config.load import load_manifest
from gantry.config.manifest import Manifest


def manifest(text: str = "") -> Manifest:
    return load_manifest(f'[project]\nname = "shop"\n{text}', vercel=None).for_environment(
        "production"
    )


def found(before: str, after: str) -> list[tuple[str, str, str]]:
    return [
        (item.name, item.before, item.after)
        for item in differences(manifest(before), manifest(after))
    ]


WORKER = """
[processes.worker.mail]
command = "node worker.js"
instances = 2
"""
RULES = """
[[routes.redirects]]
source = "/a"
destination = "/b"

[[routes.redirects]]
source = "/c"
destination = "/d"
status = 307
"""


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("", "", []),
        # Sizes and durations as they are written, keys as they are called.
        (
            "[processes.web]\nmemory = '256 MB'",
            "[processes.web]\nmemory = '1 GB'",
            [("processes.web.memory", "256 MB", "1 GB")],
        ),
        ("", "[processes.web.health]\ntimeout = '1s'", [("processes.web.health.timeout", "3s", "1s")]),
        # What has no value on one side is new or gone.
        ("", "[processes.web]\ncpu = 0.5", [("processes.web.cpu", "", "0.5")]),
        ("[processes.web.health]\npath = ''", "", [("processes.web.health.path", '""', "/")]),
        ("", "[processes.web]\nsmoke = ['/', '/login']", [("processes.web.smoke", "", "/, /login")]),
        ("", "[build]\nprune = false", [("build.prune", "true", "false")]),
        # A table that is new is what it sets, and nothing of its defaults.
        ("", WORKER, [("processes.worker.mail", "", 'command = "node worker.js", instances = 2')]),
        (WORKER, "", [("processes.worker.mail", 'command = "node worker.js", instances = 2', "")]),
        (WORKER, WORKER.replace("2", "3"), [("processes.worker.mail.instances", "2", "3")]),
        (
            "",
            "[processes.worker.mail]\ncommand = 'a'\n[processes.worker.mail.drain]\nterminate = '2m'",
            [("processes.worker.mail", "", 'command = "a", drain = { terminate = "2m" }')],
        ),
        ("", "[services]\nredis = true", [("services.redis", "", "everything by default")]),
        ("", "[processes]\nweb = false", [("processes.web", "everything by default", "")]),
        # Rules: each by itself, and their order.
        ("", RULES, [
            ("routes.redirects", "", 'source = "/a", destination = "/b"'),
            ("routes.redirects", "", 'source = "/c", destination = "/d", status = 307'),
        ]),
        (RULES, RULES.replace("/b", "/e"), [
            ("routes.redirects", 'source = "/a", destination = "/b"', ""),
            ("routes.redirects", "", 'source = "/a", destination = "/e"'),
        ]),
        (
            "[variables.plain]\nA = 'x'",
            "[variables.plain]\nA = 'y'\nB = ''",
            [("variables.plain.A", "x", "y"), ("variables.plain.B", "", '""')],
        ),
        ("[environments.production]\ndomains = ['a.example.com']", "", [("domains", "a.example.com", "")]),
    ],
)  # fmt: skip
def test_what_differs(before: str, after: str, expected: list[tuple[str, str, str]]) -> None:
    assert found(before, after) == expected


def test_the_order_of_rules_is_a_difference_and_said_in_one_line() -> None:
    first, second = RULES.strip().split("\n\n")
    assert found(f"{first}\n\n{second}", f"{second}\n\n{first}") == [
        ("routes.redirects", "the same rules", "in another order")
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("[processes.web]\nmemory = '1 GB'", "[processes.web]\nmemory = '1000 MB'"),
        ("[processes.web.drain]\nstreams = '60s'", "[processes.web.drain]\nstreams = '1m'"),
        ("", "[processes.web]\ninstances = 1"),
        (
            "[[routes.headers]]\nsource = '/'\nheaders = { A = '1', B = '2' }",
            "[[routes.headers]]\nheaders = { B = '2', A = '1' }\nsource = '/'",
        ),
    ],
)
def test_what_means_the_same_is_no_difference(before: str, after: str) -> None:
    assert found(before, after) == []


def test_no_text_is_python_s() -> None:
    everything = WORKER + RULES + "[services]\npostgres = true\n[variables.plain]\nA = 'x'\n"
    shown = " ".join(text for item in found("", everything) for text in item)
    assert not any(word in shown for word in ("None", "True", "False", "'", "=="))


@given(st.integers(32, 10_000), st.integers(1, 32), st.integers(1, 32))
def test_a_manifest_read_back_is_the_same(memory: int, one: int, two: int) -> None:
    made = manifest(f"[processes.web]\nmemory = '{memory} MB'\ninstances = {one}\n")
    stored = Manifest.model_validate_json(made.canonical_json())
    assert differences(made, stored) == ()
    other = manifest(f"[processes.web]\nmemory = '{memory} MB'\ninstances = {two}\n")
    assert bool(differences(made, other)) == (one != two)
