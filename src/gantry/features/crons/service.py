"""Scheduled commands as people see them, and runs that they ask for by hand."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from gantry.config.processes import Cron
from gantry.engines.database.protocol import Database, Session
from gantry.features.audit import store as audit
from gantry.features.crons import store
from gantry.features.crons.bodies import CronBody, CronRunBody
from gantry.features.crons.model import CRON_PREFIX, Run, run_at
from gantry.features.crons.rules import next_due
from gantry.features.projects import store as projects
from gantry.features.projects.model import Environment
from gantry.features.releases import store as releases
from gantry.features.releases.reading import manifest_of
from gantry.kernel.clock import Clock
from gantry.kernel.errors import ConflictError, NotFoundError


@dataclass(frozen=True, slots=True)
class CronService:
    """Reads scheduled commands and their runs, and takes wishes for a run.

    Attributes:
        wake: called when a run waits for the scheduler.
    """

    database: Database
    clock: Clock
    wake: Callable[[], None]

    async def list(self, project: str, environment: str) -> tuple[CronBody, ...]:
        """The commands of the live release, in the order of its manifest; none where nothing is live.

        Raises:
            NotFoundError: `project.unknown`, `environment.unknown`.
        """
        async with self.database.transaction() as session:
            target = await projects.get_environment(session, project, environment)
            crons = await _crons(session, target)
            latest = {run.cron: run for run in await store.list_latest(session, target.id)}
            open_runs = await store.list_open(session)
        running = Counter(run.cron for run in open_runs if run.environment == target.id)
        now = self.clock.now()
        return tuple(
            _body(name, cron, latest.get(name), running[name], now) for name, cron in crons.items()
        )

    async def runs(
        self, project: str, environment: str, cron: str, *, limit: int
    ) -> tuple[CronRunBody, ...]:
        """The newest runs of a command, the newest first; also of one that the live release has no more.

        Raises:
            NotFoundError: `project.unknown`, `environment.unknown`, `cron.unknown`.
        """
        async with self.database.transaction() as session:
            target = await projects.get_environment(session, project, environment)
            found = await store.list_runs(session, target.id, cron, limit=limit)
            if not found:
                await _known(session, target, cron)
        now = self.clock.now()
        return tuple(CronRunBody.of(run, now) for run in found)

    async def request(self, project: str, environment: str, cron: str, *, by: str) -> CronRunBody:
        """Ask for a run now, beside the schedule. What happens while another one lasts is said by the manifest's `overlap`.

        Raises:
            NotFoundError: `project.unknown`, `environment.unknown`, `cron.unknown`.
            ConflictError: `cron.nothing-live`.
        """
        now = self.clock.now()
        async with self.database.transaction() as session:
            target = await projects.get_environment(session, project, environment)
            if target.live_release is None or target.removing:
                raise ConflictError(
                    "cron.nothing-live",
                    f"nothing is live in {environment} of {project}, so no command can run",
                    hint=f"gantry deploy --to {environment}",
                )
            await _known(session, target, cron)
            run = run_at(target.id, cron, now, asked_by=by)
            await store.claim(session, run, skipped="", at=now)
            await audit.record(
                session,
                at=now,
                actor=by,
                action="cron.run",
                target=f"{project}/{environment}",
                details={"cron": cron, "run": run.id},
            )
        self.wake()
        return CronRunBody.of(run, now)

    async def get(self, project: str, environment: str, cron: str, run: str) -> Run:
        """One run of a command.

        Parameters:
            run: its id; empty for the newest.

        Raises:
            NotFoundError: `project.unknown`, `environment.unknown`, `cron.unknown`, `cron.no-run`.
        """
        async with self.database.transaction() as session:
            target = await projects.get_environment(session, project, environment)
            if run:
                found = await store.get(
                    session, target.id, cron, f"{CRON_PREFIX}{target.id}-{cron}-{run}"
                )
            else:
                newest = await store.list_runs(session, target.id, cron, limit=1)
                found = newest[0] if newest else None
            if found is None:
                await _known(session, target, cron)
                raise NotFoundError(
                    "cron.no-run",
                    f"{cron} has no run {run}" if run else f"{cron} has not run yet",
                    hint=f"gantry crons runs {cron} -e {environment}",
                )
        return found


async def _crons(session: Session, environment: Environment) -> Mapping[str, Cron]:
    if environment.live_release is None:
        return {}
    return manifest_of(await releases.get(session, environment.live_release)).crons


async def _known(session: Session, environment: Environment, cron: str) -> None:
    """Refuse a command that the live release does not have."""
    names = tuple(await _crons(session, environment))
    if cron not in names:
        raise NotFoundError(
            "cron.unknown",
            f"{environment.name} of {environment.project} has no cron {cron!r}",
            hint=f"there are: {', '.join(names)}"
            if names
            else 'add one to gantry.toml: [processes.cron.tidy] command = "…", schedule = "*/15 * * * *"',
        )


def _body(name: str, cron: Cron, last: Run | None, running: int, now: datetime) -> CronBody:
    return CronBody(
        name=name,
        schedule=cron.schedule,
        command=cron.command or "",
        path=cron.path or "",
        overlap=cron.overlap,
        timeout_s=cron.timeout_s,
        next_at=next_due(cron.schedule, now),
        running=running,
        last=CronRunBody.of(last, now) if last is not None else None,
    )
