"""Act: commands on a schedule. A run is claimed in the database first, so that it starts at most once."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from croniter import croniter

from gantry.engines.database.protocol import Database
from gantry.engines.runtime.protocol import ProcessState, ProcessStatus, Runtime
from gantry.features.crons import store
from gantry.features.crons.rules import Due, Run, Start, Wanted, decide
from gantry.features.instances.launching import Launcher
from gantry.features.probes.public import PublicProbe
from gantry.features.projects import store as projects
from gantry.features.releases import store as releases
from gantry.features.releases.reading import manifest_of
from gantry.kernel.clock import Clock
from gantry.kernel.tasks import TaskSet

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class CronScheduler:
    """Starts cron processes of live releases when they are due, and records how they end.

    What was due while no control plane ran is not made up for: a team that was down for a night does not want
    a night of mails in one minute.
    """

    database: Database
    runtime: Runtime
    launcher: Launcher
    probe: PublicProbe
    tasks: TaskSet
    clock: Clock
    _calls: set[Run] = field(default_factory=set)
    _looked_at: datetime | None = None
    _queued: tuple[Due, ...] = field(default=())

    async def once(self) -> None:
        """One round."""
        now = self.clock.now()
        since = self._looked_at or now
        self._looked_at = now
        statuses = await self.runtime.statuses()
        async with self.database.transaction() as session:
            runs = await store.list_running(session)
        running = [run for run in runs if run in self._calls or _still_runs(run, statuses)]
        for run in runs:
            if run not in running:
                await self._record_end(run, statuses.get(run.process_id))
        due = self._queued + tuple(
            Due(wanted, moment)
            for wanted in await self._wanted()
            if (moment := last_due(wanted.schedule, since, now)) is not None
        )
        steps = decide(due, running)
        taken = {step.due for step in steps}
        self._queued = tuple(item for item in due if item not in taken)
        for step in steps:
            await self._carry_out(step)

    async def _wanted(self) -> tuple[Wanted, ...]:
        wanted = []
        async with self.database.transaction() as session:
            for environment in await projects.list_environments(session):
                if environment.live_release is None:
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
            async with self.database.transaction() as session:
                await store.set_ended(
                    session,
                    run,
                    succeeded=200 <= answer.status < 300,
                    detail=answer.error or f"status {answer.status}",
                    at=self.clock.now(),
                )
        finally:
            self._calls.discard(run)

    async def _record_end(self, run: Run, status: ProcessStatus | None) -> None:
        code = status.exit_code if status is not None else None
        if status is None:
            detail = "was lost when the control plane ended"
        else:
            detail = "timed out" if status.timed_out else f"exited with {code}"
        async with self.database.transaction() as session:
            await store.set_ended(
                session, run, succeeded=code == 0, detail=detail, at=self.clock.now()
            )
        _log.log(logging.INFO if code == 0 else logging.WARNING, "cron %s %s", run.cron, detail)

    async def _carry_out(self, step: Start) -> None:
        wanted = step.due.wanted
        stamp = f"{step.due.at:%Y%m%d%H%M%S}"
        run = Run(
            wanted.environment,
            wanted.cron,
            step.due.at,
            f"cron-{wanted.environment}-{wanted.cron}-{stamp}",
        )
        async with self.database.transaction() as session:
            claimed = await store.claim(session, run, skipped=step.skipped, at=self.clock.now())
        if not claimed or step.skipped:
            return
        if wanted.path:
            self._calls.add(run)
            self.tasks.spawn(self._call(run, wanted), name=run.process_id)
            return
        spec = await self.launcher.for_command(
            wanted.release, run.process_id, wanted.command, timeout_s=wanted.timeout_s
        )
        await self.runtime.start(spec)


def last_due(schedule: str, since: datetime, now: datetime) -> datetime | None:
    """The last moment in (since, now] at which the cron expression `schedule` fires (UTC)."""
    moment: datetime = croniter(schedule, now + timedelta(microseconds=1)).get_prev(datetime)
    return moment if since < moment <= now else None


def _still_runs(run: Run, statuses: Mapping[str, ProcessStatus]) -> bool:
    status = statuses.get(run.process_id)
    return status is not None and status.state is ProcessState.RUNNING
