"""Commands by hand, scaling and processes on the command line; and names that people bring along."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from gantry.cli.known_names import KNOWN_NAMES
from gantry.cli.main import _ALIASES, SECTIONS
from gantry.kernel.errors import TransientError
from tests.fakes.api import ended_of, run_of
from tests.support.cli import MANIFEST, Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    (tmp_path / "gantry.toml").write_text(MANIFEST)
    return Bench(tmp_path)


def sent(bench: Bench) -> dict[str, Any]:
    """What was asked for."""
    (body,) = [
        body for verb, path, body in bench.api.asked if verb == "POST" and path.endswith("/runs")
    ]
    assert isinstance(body, dict)
    return body


def test_a_command_passes_its_output_and_its_exit_code_on(
    bench: Bench, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    bench.api.says = [b"\x01out\x00\xff", b"\x02err", '{"taken": 3}', ended_of(7)]
    done = bench.run("run", "-e", "staging", "--", "node", "-e", "1", "--", "-x")
    assert done.code == 7
    seen = capfdbinary.readouterr()
    assert (seen.out, seen.err) == (b"out\x00\xff", b"err")
    assert sent(bench)["command"] == ["node", "-e", "1", "--", "-x"]
    assert sent(bench)["terminal"] is False
    assert done.err == ""


def test_options_behind_the_first_word_are_the_command_s_own(bench: Bench) -> None:
    assert bench.run("run", "npm", "test", "--json", "-e", "x", "--help").code == 0
    assert sent(bench)["command"] == ["npm", "test", "--json", "-e", "x", "--help"]


@pytest.mark.parametrize(
    ("detail", "code", "expected"),
    [
        ("exited with 3", 3, ""),
        ("used more memory than it may", 137, "run-7kq2m9xw4t: used more memory than it may\n"),
        ("was lost, as when the machine is restarted", None, "run-7kq2m9xw4t: was lost, as when the machine is restarted\n"),
    ],
)  # fmt: skip
def test_why_it_ended_is_said_where_the_code_does_not(
    bench: Bench, detail: str, code: int | None, expected: str
) -> None:
    bench.api.says = [ended_of(code, detail=detail)]
    done = bench.run("run", "--", "ls")
    assert (done.code, done.err) == (code or 1, expected)


def test_ctrl_c_in_a_pipe_asks_it_to_stop_and_a_second_one_leaves(bench: Bench) -> None:
    bench.api.says = [KeyboardInterrupt(), ended_of(143, detail="stopped by ada")]
    done = bench.run("run", "--", "sleep", "60")
    assert done.code == 143
    assert '{"stop":true}' in bench.api.heard
    assert "Ctrl-C again leaves at once" in done.err
    bench.api.says = [KeyboardInterrupt(), KeyboardInterrupt()]
    assert bench.run("run", "--", "sleep", "60").code == 130


def test_what_could_not_be_started_and_a_lost_line_are_errors(bench: Bench) -> None:
    error = {"kind": "user", "code": "run.no-program", "message": "release 3 has no program 'x'"}
    bench.api.says = [json.dumps({"error": error})]
    done = bench.run("run", "--", "x")
    assert done.code == 2
    assert "error[run.no-program]: release 3 has no program 'x'" in done.err
    bench.api.says = [TransientError("control.lost", "the connection was lost")]
    assert bench.run("run", "--", "x").code == 3
    bench.api.says = []
    assert "error[control.bad-answer]" in bench.run("run", "--", "x").err


def test_detached_it_says_how_to_read_it(bench: Bench) -> None:
    done = bench.run("run", "--detach", "--timeout", "6h", "--", "npm", "run", "index")
    assert done.code == 0
    assert "gantry runs logs run-7kq2m9xw4t -f -e production" in done.err
    assert (sent(bench)["detach"], sent(bench)["timeout_s"]) == (True, 21_600.0)
    assert bench.api.heard == []


@pytest.mark.parametrize("duration", ["0s", "2d", "soon", "-1s"])
def test_a_time_limit_that_cannot_be_is_refused(bench: Bench, duration: str) -> None:
    done = bench.run("run", "--timeout", duration, "--", "ls")
    assert done.code == 2
    assert bench.api.asked == []


def test_production_s_data_is_not_opened_unasked(bench: Bench) -> None:
    done = bench.run("psql", stdin="drop table users;")
    assert done.code == 2
    assert "error[run.not-confirmed]" in done.err
    assert "--read-only" in done.err
    assert bench.run("redis").code == 2
    assert bench.api.asked == []
    for line in (
        ["psql", "--read-only"],
        ["psql", "--yes"],
        ["psql", "-e", "staging"],
        ["redis", "--yes"],
    ):
        assert bench.run(*line).code == 0, line


def test_statements_become_arguments_of_psql(bench: Bench) -> None:
    bench.run("psql", "--yes", "-c", "select 1", "-c", "select 2", "--", "--csv")
    body = sent(bench)
    assert body["command"] == ["-c", "select 1", "-c", "select 2", "--csv"]
    assert (body["program"], body["read_only"]) == ("postgres", False)


def test_runs_are_listed_wide_and_narrow(bench: Bench) -> None:
    wide = bench.run("runs").out
    assert wide.splitlines()[0].split() == [
        "run",
        "who",
        "what",
        "when",
        "took",
        "exit",
    ]
    assert "node scripts/seed.mjs --token [redacted]" in wide
    bench.width, bench.terminal = 60, True
    narrow = bench.run("runs", "-e", "staging").out
    assert max(map(len, narrow.splitlines())) <= 60
    assert "who ada" in narrow
    assert "when 5 min ago  took 1 min  exit 0" in narrow
    assert json.loads(bench.run("runs", "--json").out)[0]["id"] == run_of().id


def test_a_run_is_read_and_followed_to_its_exit_code(bench: Bench) -> None:
    assert bench.run("runs", "logs", "run-1").out == "line 1\nline 2\n"
    followed = bench.run("runs", "logs", "run-1", "-f")
    assert (followed.code, followed.out) == (4, "line 1\n")
    assert "had ended: exited with 0" in bench.run("runs", "stop", "run-1").err


def test_scaling_shows_what_differs_and_warns(bench: Bench) -> None:
    done = bench.run("scale", "web=3", "mail=1")
    assert "3            2  ada" in done.out
    assert "! the machine is small" in done.err
    assert "gantry scale --reset" in done.err
    (body,) = [body for verb, _, body in bench.api.asked if verb == "POST"]
    assert body == {"counts": {"web": 3, "mail": 1}}


@pytest.mark.parametrize(
    "argument", ["web", "web=", "=3", "web=three", "web=-1", "web=1.5", "web=²"]
)
def test_what_is_no_number_is_refused(bench: Bench, argument: str) -> None:
    done = bench.run("scale", "--", argument)
    assert done.code == 2
    assert "error[scale.bad-argument]" in done.err


def test_processes_are_listed_wide_and_narrow(bench: Bench) -> None:
    wide = bench.run("ps").out
    assert wide.splitlines()[0].split() == [
        "process",
        "state",
        "release",
        "since",
        "restarts",
        "memory",
    ]
    assert "web.0" in wide
    assert run_of().id in wide
    bench.width, bench.terminal = 50, True
    narrow = bench.run("ps").out
    assert max(map(len, narrow.splitlines())) <= 50
    assert "state healthy  release 3  since 5 min ago" in narrow
    found = json.loads(bench.run("ps", "--json").out)
    assert {"instances", "runs", "scaled"} == found.keys()
    assert bench.run("ps", "-e", "nowhere").code == 2


def test_a_name_of_another_tool_gets_one_line(bench: Bench) -> None:
    for name, line in KNOWN_NAMES.items():
        done = bench.run(name)
        assert done.code == 2
        assert f"there is no command {name!r}" in done.err
        assert line.replace("\n", " ") in done.err, name


def test_known_names_are_not_commands_and_speak_of_commands_only() -> None:
    commands = {name for section in SECTIONS.values() for name in section} | set(_ALIASES)
    assert not commands & KNOWN_NAMES.keys()
    for line in KNOWN_NAMES.values():
        words = line.replace("(", " ").split()
        named = [after for word, after in pairwise(words) if word == "gantry"]
        assert all(name.rstrip(",;:)") in {*commands, "--help", "COMMAND"} for name in named), line


def test_an_address_for_another_client(bench: Bench) -> None:
    done = bench.run("psql", "--url", "--read-only", "--for", "30m")
    assert (done.code, done.out) == (0, "postgresql://gantry_loan_l_1:pw@127.0.0.1:15432/shop\n")
    assert "reads until 2026-" in done.err
    assert "ssh" not in done.err
    (asked,) = [body for _, path, body in bench.api.asked if path.endswith("/loans")]
    assert asked == {"read_only": True, "duration_s": 1800.0}
    assert json.loads(bench.run("psql", "--url", "-y", "--json").out)["database"] == "shop"


def test_an_address_on_another_machine_comes_with_the_tunnel_to_it(bench: Bench) -> None:
    done = bench.run("--url", "https://gantry.example.org", "psql", "--url", "-e", "staging")
    assert done.out.startswith("postgresql://")
    assert "ssh -N -L 15432:127.0.0.1:15432 gantry.example.org" in done.err


def test_an_address_that_can_change_production_asks_first(bench: Bench) -> None:
    done = bench.run("psql", "--url")
    assert "error[run.not-confirmed]" in done.err
    assert not [path for _, path, _ in bench.api.asked if path.endswith("/loans")]
