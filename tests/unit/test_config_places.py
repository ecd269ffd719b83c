"""A key in the wrong place, or under another platform's name, is answered with where it belongs."""

import pytest

from gantry.config.load import ManifestError, load_manifest

_HEAD = '[project]\nname = "a"\n'


def _report(text: str) -> str:
    with pytest.raises(ManifestError) as refusal:
        load_manifest(_HEAD + text)
    return refusal.value.message


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ('[processes.worker]\ncommand = "x"', "[processes.worker.NAME]"),
        ('[processes.worker]\ninstances = 2', "[processes.worker.NAME]"),
        ('[[processes.worker]]\ncommand = "x"', "[processes.worker.NAME]"),
        ('[processes]\nworker = "node x.js"', "[processes.worker.NAME]"),
        ('[processes.worker]\nmail = "node mail.js"', "[processes.worker.mail]"),
        ('[processes.worker.drain]\nterminate = "3s"', "[processes.worker.NAME.drain]"),
        ('[processes.cron]\ncommand = "x"\nschedule = "@daily"', "[processes.cron.NAME]"),
        ('[environments.staging.processes.cron]\nschedule = "@daily"', "[processes.cron.NAME]"),
        ('[processes.mail]\ncommand = "x"', "[processes.worker.mail]"),
        ('[processes.wroker.mail]\ncommand = "x"', "'worker'"),
        ('[processes]\nweb = "node x.js"', "[processes.web]"),
        ('[cron]\nschedule = "@daily"', "[processes.cron.NAME]"),
        ('[cron.nightly]\nschedule = "@daily"', "[processes.cron.nightly]"),
        ('[crons.nightly]\nschedule = "@daily"', "[processes.cron.nightly]"),
        ('[worker]\ncommand = "x"', "[processes.worker.NAME]"),
        ('[workers.mail]\ncommand = "x"', "[processes.worker.mail]"),
        ('[web]\ncommand = "x"', "[processes.web]"),
        ('[health]\npath = "/x"', "[processes.web.health]"),
        ('[env]\nA = "1"', "[variables] plain"),
        ('[env.production]\nA = "1"', "'environments'"),
        ('[production]\ndomains = ["a.example"]', "[environments.production]"),
        ("[[redirects]]\na = 1", "[routes] redirects"),
        ("[database]\nx = 1", "[services.postgres]"),
        ("[redis]\nmemory = 1", "[services.redis]"),
        ('[services]\npostgresql = true', "'postgres'"),
        ('[build]\nroot = "x"', "[project] root"),
        ('[deploy]\nrelease_command = "x"', "[release] command"),
        ('[build]\ntests = "x"', "[test]"),
    ],
)  # fmt: skip
def test_the_right_place_is_named(text: str, meant: str) -> None:
    assert f"did you mean {meant}?" in _report(text)


@pytest.mark.parametrize("key", ["port", "image", "region"])
def test_what_gantry_does_itself_is_said(key: str) -> None:
    report = _report(f'[processes.web]\n{key} = "x"')
    assert f"processes.web.{key}: unknown key: " in report
    assert "did you mean" not in report


@pytest.mark.parametrize(
    "text", ["[xyzzy]\na = 1", '[build]\nxyzzy = "1"', '[processes.web]\nname = "a"']
)
def test_what_nobody_can_guess_is_an_unknown_key(text: str) -> None:
    assert "unknown key" in _report(text)
