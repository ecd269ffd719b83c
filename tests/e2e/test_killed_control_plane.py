"""SIGKILL of the control plane at each step of the pipeline: the deploy is finished by the next, visitors notice nothing.

The worst moment of a step is when all it does is done and not yet recorded. A trigger in the system database holds the
control plane at exactly that point; the second moment is in the middle of what takes time.
"""

import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
from _pytest.mark import ParameterSet

from gantry.config.paths import Paths
from gantry.engines.postgres import wheel
from gantry.engines.postgres.admin import Address
from gantry.features.deploys.model import Step
from tests.support.platform import Platform, wait_until
from tests.support.product import SERVER, Product

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_HOLD = 4711
_LONG = """
[release]
command = "sleep 0.7"
[test]
command = "sleep 0.7"
"""
_SLOW_START = SERVER.replace("server.listen(", "setTimeout(() => server.listen(").replace(
    "process.env.HOST);", "process.env.HOST), 700);"
)


def connect(platform: Platform) -> psycopg.Connection:
    """An administrator's session in the system database."""
    paths = Paths(platform.home)
    password = (paths.keys / "postgres-system.password").read_text()
    folder = str(paths.run / "postgres-system")
    return psycopg.connect(Address(folder, 5432, wheel.ADMIN, password).url(), autocommit=True)


@contextmanager
def held_before_the_record_of(session: psycopg.Connection, step: Step) -> Iterator[None]:
    """Whoever records that `step` has ended waits until the block is left."""
    session.execute("SELECT pg_advisory_lock(%s)", (_HOLD,))
    session.execute(
        """CREATE OR REPLACE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN PERFORM pg_advisory_xact_lock(4711); RETURN NEW; END $$"""
    )
    moved: LiteralString = "(NEW.step <> OLD.step OR NEW.state <> OLD.state)"
    session.execute(
        psycopg.sql.SQL(
            "CREATE TRIGGER hold BEFORE UPDATE ON deploys FOR EACH ROW WHEN (OLD.step = {step} AND "
            "OLD.state = 'active' AND " + moved + ") EXECUTE FUNCTION hold()"
        ).format(step=psycopg.sql.Literal(step.value))
    )
    try:
        yield
    finally:
        session.execute(f"SELECT pg_terminate_backend(pid) FROM pg_locks WHERE {_WAITING}")
        session.execute("SELECT pg_advisory_unlock(%s)", (_HOLD,))
        session.execute("DROP TRIGGER hold ON deploys")


_WAITING: LiteralString = "locktype = 'advisory' AND objid = 4711 AND NOT granted"


def kill_control_plane(platform: Platform) -> None:
    """SIGKILL, and wait until it is gone."""
    pid = platform.control_pid()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), what="the end of the control plane")


def finishes(product: Product, before: str) -> None:
    """A new control plane brings the deploy to its end, and the status says what the public port serves."""
    product.platform.run("up")

    def ended() -> bool:
        return bool(product.environment()["deploy"]["state"] not in ("queued", "active"))

    wait_until(ended, timeout_s=60, what="the deploy's end")
    found = product.environment()["deploy"]
    assert found["state"] == "succeeded", found
    assert product.live() != before


def sampled(steps: Iterable[Step], sample: set[Step]) -> list[ParameterSet]:
    """All steps; those outside of `sample` are more of the same: the simulation dies at every commit."""
    return [
        pytest.param(step, marks=() if step in sample else (pytest.mark.exhaustive,))
        for step in steps
    ]


@pytest.mark.parametrize("step", sampled(Step, {Step.MIGRATE, Step.SWITCH}))
def test_killed_when_a_step_is_done_and_not_recorded(good: Product, step: Step) -> None:
    before = good.live()
    good.write(note=f"done {step}", more=_LONG, server=_SLOW_START)
    with (
        good.visitors(connections=10, pause_s=0.01) as tally,
        connect(good.platform) as session,
    ):
        with held_before_the_record_of(session, step):
            good.deploy("--detach")

            def is_held() -> bool:
                query: LiteralString = f"SELECT count(*) FROM pg_locks WHERE {_WAITING}"
                row = session.execute(query).fetchone()
                return bool(row and row[0])

            wait_until(is_held, what=f"the end of the step {step}")
            kill_control_plane(good.platform)
        finishes(good, before)
    assert tally["failures"] == 0, tally
    assert tally["requests"] > 100


@pytest.mark.parametrize(
    "step", sampled((Step.BUILD, Step.TEST, Step.MIGRATE, Step.HEALTHY), {Step.HEALTHY})
)
def test_killed_in_the_middle_of_a_step(good: Product, step: Step) -> None:
    before = good.live()
    good.write(note=f"middle {step}", more=_LONG, server=_SLOW_START)
    with (
        good.visitors(connections=10, pause_s=0.01) as tally,
        connect(good.platform) as session,
    ):
        good.deploy("--detach")

        def is_reached() -> bool:
            row = session.execute("SELECT step FROM deploys WHERE state = 'active'").fetchone()
            return row is not None and row[0] == step

        wait_until(is_reached, what=f"the step {step}")
        time.sleep(0.25)
        kill_control_plane(good.platform)
        finishes(good, before)
    assert tally["failures"] == 0, tally
