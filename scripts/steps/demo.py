"""Installs Gantry below this folder, starts it, deploys the example, and says what to look at.

Bare Python 3.11. Running it again is quick and changes nothing but the example's release.
"""

import json
import os
import pwd
import secrets
import shlex
import socket
import subprocess
import sys
import time
from pathlib import Path

import environment as venv
from running import StepError, environment, say, step

EXAMPLE = venv.ROOT / "examples" / "smart-sign"
GANTRY = venv.VENV / "bin" / "gantry"
PROJECT = "smart-sign"
PLACE = ["--project", PROJECT, "--environment", "production"]
REQUIRED = ("ADMIN_PASSWORD", "SESSION_SECRET", "CRON_SECRET")
# What somebody may have set for this command only; later commands need the same.
REPEATED = ("GANTRY_HOME", "GANTRY_HTTP_PORT", "GANTRY_HTTPS_PORT", "GANTRY_BIND", "GANTRY_DOMAIN")
PORTS = (("GANTRY_HTTP_PORT", 8080), ("GANTRY_HTTPS_PORT", 8443))


def main() -> int:
    began_s = time.monotonic()
    env, exports = home_environment()
    say(
        "Gantry demo: install, start, deploy an example to production; 3 to 6 minutes the first time"
    )
    try:
        venv.ensure()
        up(env)
        kept = variables(env)
        say()
        step(
            "deploy",
            [str(GANTRY), "deploy", str(EXAMPLE), "--to", "production"],
            env=env,
            quiet=False,
        )
    except StepError as error:
        say(
            f"\nThe demo stopped at: {error}. Fix it and run scripts/demo again; it continues where it stopped."
        )
        return 1
    except KeyboardInterrupt:
        say("\ninterrupted; scripts/demo continues where it stopped")
        return 130
    farewell(env, kept, exports, time.monotonic() - began_s)
    return 0


def home_environment() -> tuple[dict[str, str], list[str]]:
    """The environment for Gantry's commands, and what must be exported to repeat them by hand."""
    env = environment()
    for name in ("GANTRY_URL", "GANTRY_TOKEN"):
        env.pop(name, None)  # this demo is about this machine
    chosen = {name: env[name] for name in REPEATED if env.get(name)}
    chosen |= {} if "GANTRY_HOME" in chosen else writable_home(env)
    return {**env, **chosen}, [f"export {name}={shlex.quote(chosen[name])}" for name in chosen]


def writable_home(env: dict[str, str]) -> dict[str, str]:
    """Nothing when Gantry can make its folder in the usual place, or else another place for it."""
    try:
        home = Path(env.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir)
        home.mkdir(parents=True, exist_ok=True)
        if os.access(home, os.W_OK | os.X_OK):
            return {} if env.get("HOME") else {"GANTRY_HOME": str(home / ".gantry")}
    except (KeyError, OSError):
        pass  # no account, or a home that cannot be made: below this folder then
    own = venv.ROOT / ".gantry"
    say(f"  there is no home folder to write to; Gantry's data goes to {own}")
    return {"GANTRY_HOME": str(own)}


def up(env: dict[str, str]) -> None:
    """Start Gantry; explain a port that is taken."""
    try:
        step("start Gantry", [str(GANTRY), "up"], env=env)
    except StepError:
        bind = env.get("GANTRY_BIND", "127.0.0.1")
        for name, usual in PORTS:
            port = int(env.get(name) or usual)
            if is_taken(bind, port):
                say(
                    f"  port {port} is used by another program. Use another one, here and in later commands:"
                )
                say(f"    export {name}={port + 1000}; scripts/demo")
        raise


def is_taken(bind: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((bind, port))
        except OSError:
            return True
    return False


def variables(env: dict[str, str]) -> dict[str, str]:
    """Set what the example requires and nobody has set; the values that this demo made, now or earlier."""
    file = Path(env.get("GANTRY_HOME") or Path(env["HOME"]) / ".gantry") / "demo.json"
    kept: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    have = {each["name"] for each in ask(env, "env", "list", *PLACE, "--json") or []}
    kept = {name: value for name, value in kept.items() if name in have}
    missing = [name for name in REQUIRED if name not in have]
    if not missing:
        return kept
    made = {name: secrets.token_urlsafe(12 if name == "ADMIN_PASSWORD" else 32) for name in missing}
    # By standard input: no secret in the list of processes.
    text = "".join(f"{name}={value}\n" for name, value in made.items())
    done = subprocess.run(
        [str(GANTRY), "env", "import", "/dev/stdin", *PLACE],
        input=text, env=env, text=True, capture_output=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        say(done.stderr)
        raise StepError("set the example's variables")
    kept.update(made)
    file.touch(mode=0o600)
    file.write_text(json.dumps(kept))
    say(f"✓ set {', '.join(missing)} with generated values")
    return kept


def ask(env: dict[str, str], *arguments: str) -> list[dict[str, str]] | None:
    """The JSON answer of a command; `None` when it failed."""
    done = subprocess.run(
        [str(GANTRY), *arguments], env=env, text=True, capture_output=True, check=False
    )
    return json.loads(done.stdout) if done.returncode == 0 else None


def address(env: dict[str, str], *arguments: str) -> str:
    argv = [str(GANTRY), "open", "--print", *arguments]
    return subprocess.run(argv, env=env, text=True, capture_output=True, check=False).stdout.strip()


def farewell(
    env: dict[str, str], kept: dict[str, str], exports: list[str], elapsed_s: float
) -> None:
    site = address(env, *PLACE)
    password = kept.get("ADMIN_PASSWORD", "the ADMIN_PASSWORD that you set")
    port = env.get("GANTRY_HTTPS_PORT") or "8443"
    example = shlex.quote(str(EXAMPLE))
    say(f"""
Ready after {elapsed_s:.0f} s. Open in a browser on this machine:

  site      {site}
  display   {site}/d/harbour-house
  admin     {site}/admin/harbour-house
            password: {password}
  console   {address(env, "--console")}
            logs in once, within 15 minutes; gantry open --console creates another

The certificates are from an authority of this machine's own, so a browser asks before it shows a page.
From another machine: ssh -L {port}:localhost:{port} <this machine>, then the same addresses.

Three things to try. First, so that your shell knows gantry:
""")
    for line in (*exports, f'gantry() {{ {shlex.quote(str(GANTRY))} "$@"; }}'):
        say(f"       {line}")
    say(f"""
  1. change a text in examples/smart-sign, and reload the site while this runs:
       gantry deploy {example} --to production
  2. go back, within a second:
       gantry rollback --project {PROJECT}
  3. look at the instances, kill -9 the pid of one, and reload the site: it answers, and the instance comes back:
       gantry status --watch

Stop everything, keeping all data, with: gantry down""")


if __name__ == "__main__":
    sys.exit(main())
