"""The settings of the verdict: checked by the manifest, and documented as they are."""

import re
from pathlib import Path

import pytest

from gantry.config.load import ManifestError, load_manifest
from gantry.config.schema import manifest_schema
from gantry.config.sections import VerdictRules
from gantry.features.rollouts.rules import policy_of
from gantry.features.rollouts.verdict.model import CheckName, Policy

_PAGE = (Path(__file__).parents[2] / "docs" / "verdict.md").read_text(encoding="utf-8")
_MANIFEST = """
[project]
name = "shop"
[processes.web]
command = "serve"
[deploy.verdict]
{setting}
"""


def table(heading: str) -> list[list[str]]:
    """The rows of the first table below a heading of the page, cells without backticks."""
    below = _PAGE.split(f"{heading}\n", 1)[1]
    lines = re.search(r"(?:^\|.*\n)+", below, re.MULTILINE)
    assert lines is not None, f"no table below {heading}"
    rows = lines[0].splitlines()[2:]
    return [[cell.strip().replace("`", "") for cell in row.strip("|").split("|")] for row in rows]


def test_the_page_lists_the_settings_of_the_manifest() -> None:
    properties = manifest_schema()["$defs"]["VerdictRules"]["properties"]
    documented = {setting: default for setting, default, _why in table("## Tuning")}
    assert documented == {name: str(value["default"]) for name, value in properties.items()}


def test_the_page_lists_the_checks_in_their_order() -> None:
    documented = [name for check, *_ in table("## What is compared") for name in check.split(", ")]
    assert documented == list(CheckName)


def test_the_page_names_nothing_that_does_not_exist() -> None:
    """Every name in the style of a setting is one."""
    known = {*manifest_schema()["$defs"]["VerdictRules"]["properties"]}
    text = _PAGE.split("<!-- measured -->")[0]
    assert set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", text)) <= known


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("error_margin", "0.0"),
        ("error_margin", "1.0"),
        ("error_margin", "nan"),
        ("latency_ratio", "0.9"),
        ("latency_ratio", "inf"),
        ("latency_ratio", "nan"),
        ("latency_floor", '"-1ms"'),
        ("latency_floor", '"2m"'),
        ("restarts", "-1"),
        ("restarts", "1.5"),
        ("when_inconclusive", '"hope"'),
        ("alpha", "0.1"),
    ],
)
def test_a_setting_out_of_its_range_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(ManifestError) as refused:
        load_manifest(_MANIFEST.format(setting=f"{name} = {value}"))
    assert f"deploy.verdict.{name}" in str(refused.value)


def test_the_policy_is_what_the_manifest_says() -> None:
    manifest = load_manifest(
        _MANIFEST.format(
            setting="error_margin = 0.02\nlatency_ratio = 2\nlatency_floor = '5ms'\nrestarts = 3"
        )
    )
    policy = policy_of(manifest.deploy.verdict)
    assert policy == Policy(0.02, 2.0, 5.0, 3)
    assert policy_of(VerdictRules()) == Policy(0.01, 1.25, 20.0, 0)


def test_what_is_fixed_is_documented() -> None:
    policy = policy_of(VerdictRules())
    fixed = re.sub(r"\s+", " ", _PAGE.split("Everything else is fixed")[1].split("\n\n")[0])
    assert f"({policy.alpha:.0%} of rollouts)".replace("%", " %") in fixed
    assert f"confidence of a pass ({policy.confidence:.0%})".replace("%", " %") in fixed
    assert f"({policy.minimum_requests} to each release)" in fixed
    assert f"nothing to be compared with ({policy.error_ceiling:.0%})".replace("%", " %") in fixed
