"""Broken manifests and the exact reports that they get."""

from pathlib import Path

import pytest

from gantry.config.load import ManifestError, load_manifest
from gantry.kernel.errors import UserError
from tests.support.config import GOLDEN, assert_golden

CASES = sorted((GOLDEN / "reports").glob("*.toml"))


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_every_fault_of_a_file_is_in_one_report(case: Path) -> None:
    with pytest.raises(ManifestError) as caught:
        load_manifest(case.read_bytes())
    error = caught.value
    codes = "\n".join(sorted({fault.code for fault in error.faults}))
    assert_golden(case.with_suffix(".txt"), f"{error.message}\n\n{codes}\n")


def test_there_are_many_cases() -> None:
    assert len(CASES) >= 25


def test_a_report_is_a_users_error_with_a_place_and_a_command() -> None:
    with pytest.raises(UserError) as caught:
        load_manifest('[project]\nname = "shop"\nnam = 1\n')
    assert caught.value.as_dict() == {
        "kind": "user",
        "code": "manifest.invalid",
        "message": "gantry.toml:3: project.nam: unknown key; did you mean 'name'?",
        "hint": "fix the lines above, then check again with: gantry plan",
        "where": "gantry.toml:3",
    }


def test_faults_of_all_three_files_are_in_one_report() -> None:
    with pytest.raises(ManifestError) as caught:
        load_manifest(
            b'[project]\nname = "Shop"\n',
            vercel=b'{"redirects": [\n{"source": "a", "destination": "/b"}]}',
            env_example=b"A=1\nwhat is this\n",
        )
    assert [(fault.file, fault.line, fault.code) for fault in caught.value.faults] == [
        (".env.example", 2, "manifest.syntax"),
        ("gantry.toml", 2, "manifest.bad-value"),
        ("vercel.json", 2, "manifest.bad-value"),
    ]


def test_headers_are_as_many_as_the_edge_takes() -> None:
    rule = '[[routes.headers]]\nsource = "/:path*"\nheaders = {{ {} }}\n'
    rules = [rule.format(", ".join(f'"x-{n}-{m}" = "1"' for m in range(100))) for n in range(9)]
    most = '[project]\nname = "shop"\n' + "".join(rules)
    assert len(load_manifest(most).routes.headers) == 9
    with pytest.raises(
        ManifestError, match=r"routes\.headers: has 901 headers in all; the limit is 900"
    ):
        load_manifest(most + rule.format('"x-more" = "1"'))


def test_a_file_that_is_too_large_is_not_read() -> None:
    with pytest.raises(ManifestError, match="the limit is 262144"):
        load_manifest(b"#" * 262_145)
    assert load_manifest(b'[project]\nname="a"\n#' + b"x" * 262_000).project.name == "a"


@pytest.mark.parametrize(
    ("text", "report"),
    [
        (
            "[release]\ncommand = 'a'\n[release]\n",
            ":3: [release] is there already; keep one of the two",
        ),
        ("[a.b]\n[a.b]\n", ":2: [a.b] is there already; keep one of the two"),
        ("[[a.b]]\n[a.b]\n", ":2: [a.b] is there already; keep one of the two"),
        ("a = { b = 1 }\na.c = 2\n", ":2: a is written as a whole already; add to it there"),
        ("[a.b]\n[a]\nb.c = 1\n", ":3: a.b is there already"),
    ],
)
def test_a_table_is_named_as_toml_names_it(text: str, report: str) -> None:
    with pytest.raises(ManifestError) as caught:
        load_manifest(text, vercel=None)
    assert caught.value.message.splitlines()[0].endswith(report)
