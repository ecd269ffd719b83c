"""Act: commands on a schedule. A run is claimed in the database first, so that it starts at most once."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from gantry.engines.database.protocol import Database
from gantry.engines.runtime.protocol import ProcessState, ProcessStatus, Runtime
from gantry.features.crons import store
from gantry.features.crons.model import Run, RunState, run_at
from gantry.features.crons.rules import Due, Start, Wanted, decide, last_due
from gantry.features.instances.exits import exit_of
from gantry.features.instances.launching import Launcher
from gantry.features.probes.public import PublicProbe
from gantry.features.projects import store as projects
from gantry.features.releases import store as releases
from gantry.features.releases.reading import manifest_of
from gantry.kernel.clock import Clock
from gantry.kernel.errors import GantryError
from gantry.kernel.redact import Redactor
from gantry.kernel.tasks import TaskSet
from gantry.kernel.units import format_duration

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class CronScheduler:
    """Starts cron processes of live releases when they are due or asked for, and records how they end.

    What was due while no control plane ran is not made up for: a team that was down for a night does not want
    a night of mails in one minute. What somebody asked for is.
    """

    database: Database
    runtime: Runtime
    launcher: Launcher
    probe: PublicProbe
    tasks: TaskSet
    clock: Clock
    _calls: set[str] = field(default_factory=set)
    _looked_at: datetime | None = None
    _queued: tuple[Due, ...] = field(default=())

    async def once(self) -> None:
        """One round."""
        now = self.clock.now()
        since = self._looked_at or now
        self._looked_at = now
        statuses = await self.runtime.statuses()
        async with self.database.transaction() as session:
            runs = await store.list_open(session)
        asked = [run for run in runs if run.state is RunState.ASKED]
        begun = [run for run in runs if run.state is RunState.RUNNING]
        running = [run for run in begun if self._runs(run, statuses)]
        wanted = await self._wanted()
        for run in begun:
            if run not in running:
                await self._record_end(run, statuses.get(run.process_id), wanted)
        due = (
            *await self._asked(asked, wanted),
            *self._queued,
            *(
                Due(item, moment)
                for item in wanted
                if (moment := last_due(item.schedule, since, now)) is not None
            ),
        )
        steps = decide(due, running)
        taken = {step.due for step in steps}
        # What was asked for waits in the database.
        self._queued = tuple(item for item in due if item not in taken and item.asked is None)
        for step in steps:
            await self._carry_out(step)

    def _runs(self, run: Run, statuses: Mapping[str, ProcessStatus]) -> bool:
        status = statuses.get(run.process_id)
        runs = status is not None and status.state is ProcessState.RUNNING
        return runs or run.process_id in self._calls

    async def _wanted(self) -> tuple[Wanted, ...]:
        wanted = []
        async with self.database.transaction() as session:
            for environment in await projects.list_environments(session):
                if environment.live_release is None or environment.removing:
                    continue
                release = await releases.get(session, environment.live_release)
                for name, cron in manifest_of(release).crons.items():
                    wanted.append(
                        Wanted(
                            environment=environment.id,
                            release=release.id,
                            cron=name,
                            command=cron.command or "",
                            path=cron.path or "",
                            schedule=cron.schedule,
                            overlap=cron.overlap,
                            timeout_s=cron.timeout_s,
                        )
                    )
        return tuple(wanted)

    async def _asked(self, asked: list[Run], wanted: tuple[Wanted, ...]) -> tuple[Due, ...]:
        """Runs that wait for their start; those whose command is gone are over."""
        by_name = {(item.environment, item.cron): item for item in wanted}
        due = []
        for run in asked:
            item = by_name.get((run.environment, run.cron))
            if item is not None:
                due.append(Due(item, run.scheduled_for, asked=run))
                continue
            detail = "the live release has no such cron any more"
            await self._end(run, RunState.FAILED, detail)
        return tuple(due)

    async def _carry_out(self, step: Start) -> None:
        wanted, asked = step.due.wanted, step.due.asked
        run = asked or run_at(wanted.environment, wanted.cron, step.due.at)
        if asked is not None and step.skipped:
            await self._end(run, RunState.SKIPPED, step.skipped)
            return
        now = self.clock.now()
        async with self.database.transaction() as session:
            begins = (
                await store.set_started(session, run, wanted.release, at=now)
                if asked is not None
                else await store.claim(
                    session, replace(run, release=wanted.release), skipped=step.skipped, at=now
                )
            )
        if begins and not step.skipped:
            await self._start(run, wanted)

    async def _start(self, run: Run, wanted: Wanted) -> None:
        if wanted.path:
            self._calls.add(run.process_id)
            self.tasks.spawn(self._call(run, wanted), name=run.process_id)
            return
        try:
            spec = await self.launcher.for_command(
                wanted.release, run.process_id, wanted.command, timeout_s=wanted.timeout_s
            )
            await self.runtime.start(spec)
        except GantryError as error:
            await self._end(run, RunState.FAILED, f"did not start: {error.message}")

    async def _call(self, run: Run, wanted: Wanted) -> None:
        """Ask the path of the environment's own address, as Vercel's crons do."""
        try:
            launch = await self.launcher.prepare(wanted.release)
            secret = launch.variables.get("CRON_SECRET", "")
            answer = await self.probe.call(
                launch.environment,
                wanted.path,
                headers={"authorization": f"Bearer {secret}"} if secret else {},
                timeout_s=wanted.timeout_s,
            )
            state = RunState.SUCCEEDED if 200 <= answer.status < 300 else RunState.FAILED
            detail = answer.error or f"status {answer.status}"
            redact = Redactor(launch.variables.values())
            await self._end(run, state, detail, output=redact(answer.body).replace("\0", "\ufffd"))
        except GantryError as error:
            await self._end(run, RunState.FAILED, f"was not asked: {error.message}")
        finally:
            self._calls.discard(run.process_id)

    async def _record_end(
        self, run: Run, status: ProcessStatus | None, wanted: tuple[Wanted, ...]
    ) -> None:
        timeouts_s = {(item.environment, item.cron): item.timeout_s for item in wanted}
        detail = _how_ended(status, timeouts_s.get((run.environment, run.cron)))
        succeeded = status is not None and status.exit_code == 0 and not status.timed_out
        state = RunState.SUCCEEDED if succeeded else RunState.FAILED
        await self._end(run, state, detail, at=status.ended_at if status is not None else None)

    async def _end(
        self,
        run: Run,
        state: RunState,
        detail: str,
        *,
        output: str | None = None,
        at: datetime | None = None,
    ) -> None:
        async with self.database.transaction() as session:
            await store.set_ended(
                session, run, state, detail=detail, at=at or self.clock.now(), output=output
            )
        level = logging.WARNING if state is RunState.FAILED else logging.INFO
        _log.log(level, "cron %s %s", run.cron, detail)


def _how_ended(status: ProcessStatus | None, timeout_s: float | None) -> str:
    if status is None:
        return "was lost when the control plane ended"
    if status.timed_out:
        return "timed out" + (f" after {format_duration(timeout_s)}" if timeout_s else "")
    return exit_of(status, killed_for="", settled=True).sentence
