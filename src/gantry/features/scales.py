"""How many instances of a live release run, by hand: from now on, until another release goes live."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import Field

from gantry.config.processes import MAX_INSTANCES
from gantry.engines.database.protocol import Database, Row, Session
from gantry.features.audit import store as audit
from gantry.features.projects import store as projects
from gantry.features.projects.model import Environment
from gantry.features.releases import store as releases
from gantry.features.releases.model import Release
from gantry.features.releases.reading import manifest_of
from gantry.kernel.bodies import Answer, Request
from gantry.kernel.clock import Clock
from gantry.kernel.errors import ConflictError, UserError
from gantry.kernel.units import counted, format_size

# What is in force: of the release that is live, and since before it went live last.
CURRENT = """SELECT environments.id AS environment, scales.release, process, count, set_by
             FROM scales
             JOIN releases ON releases.id = scales.release AND releases.live_at = scales.live_at
             JOIN environments ON environments.live_release = scales.release"""
_MAX_KINDS = 100


class ScaleRequest(Request):
    """How many instances are wanted."""

    counts: Mapping[str, int] = Field(
        description="Process -> instances: `web`, or a worker's name such as `worker.mail`.",
        min_length=1,
        max_length=_MAX_KINDS,
    )


class ScaledProcess(Answer):
    """One kind of process of the live release."""

    process: str
    count: int = Field(description="Instances that should run now.")
    manifest_count: int = Field(description="Instances that gantry.toml asks for.")
    set_by: str = Field("", description="Who asked for another number; empty where nobody did.")


class ScaleBody(Answer):
    """How many instances of an environment's live release should run."""

    project: str
    environment: str
    release_number: int
    processes: tuple[ScaledProcess, ...]
    warnings: tuple[str, ...] = Field((), description="What may go wrong with it, in sentences.")


async def list_current(session: Session) -> Mapping[str, Mapping[str, int]]:
    """Release -> process -> how many instances were asked for by hand."""
    found: dict[str, dict[str, int]] = {}
    for row in await session.rows(CURRENT):
        found.setdefault(row["release"], {})[row["process"]] = row["count"]
    return found


async def list_for_environment(session: Session, environment_id: str) -> tuple[Row, ...]:
    """What is in force in one environment: `process`, `count`, `set_by`."""
    rows = await session.rows(
        f"SELECT * FROM ({CURRENT}) AS current WHERE environment = %(id)s ORDER BY process",
        {"id": environment_id},
    )
    return tuple(rows)


@dataclass(frozen=True, slots=True)
class ScaleService:
    """Changes how many instances run.

    Attributes:
        machine_bytes: the memory of this machine.
        wake: called when there is something for the reactor to do.
    """

    database: Database
    clock: Clock
    machine_bytes: Callable[[], int]
    wake: Callable[[], None]

    async def get(self, project: str, environment: str) -> ScaleBody:
        """How many should run.

        Raises:
            NotFoundError: `project.unknown`, `environment.unknown`.
            ConflictError: `scale.nothing-live`.
        """
        async with self.database.transaction() as session:
            target = await projects.get_environment(session, project, environment)
            return await self._read(session, target, await _live(session, target))

    async def set(
        self, project: str, environment: str, request: ScaleRequest, *, by: str
    ) -> ScaleBody:
        """Ask for other numbers, at once. What gantry.toml asks for anyway is forgotten as a wish of one's own.

        Raises:
            NotFoundError: `project.unknown`, `environment.unknown`.
            ConflictError: `scale.nothing-live`.
            UserError: `scale.unknown-process`, `scale.bad-count`.
        """
        async with self.database.transaction() as session:
            target = await projects.lock_environment(
                session, (await projects.get_environment(session, project, environment)).id
            )
            release = await _live(session, target)
            counts = _checked(request.counts, release)
            for process, count in counts.items():
                await self._set_one(session, release, process, count, by=by)
            await self._record(session, target, "scale.set", by=by, details=counts)
            body = await self._read(session, target, release)
        self.wake()
        return body

    async def reset(self, project: str, environment: str, *, by: str) -> ScaleBody:
        """Return to what gantry.toml asks for.

        Raises:
            NotFoundError: `project.unknown`, `environment.unknown`.
            ConflictError: `scale.nothing-live`.
        """
        async with self.database.transaction() as session:
            target = await projects.get_environment(session, project, environment)
            release = await _live(session, target)
            if await session.execute(
                "DELETE FROM scales WHERE release = %(release)s", {"release": release.id}
            ):
                await self._record(session, target, "scale.reset", by=by, details={})
            body = await self._read(session, target, release)
        self.wake()
        return body

    async def _set_one(
        self, session: Session, release: Release, process: str, count: int, *, by: str
    ) -> None:
        values: dict[str, object] = {"release": release.id, "process": process}
        if count == manifest_of(release).long_running[process].instances:
            await session.execute(
                "DELETE FROM scales WHERE release = %(release)s AND process = %(process)s", values
            )
            return
        await session.execute(
            """INSERT INTO scales (release, process, count, live_at, set_at, set_by)
               VALUES (%(release)s, %(process)s, %(count)s, %(live_at)s, %(at)s, %(by)s)
               ON CONFLICT (release, process) DO UPDATE
               SET count = EXCLUDED.count, live_at = EXCLUDED.live_at, set_at = EXCLUDED.set_at,
                   set_by = EXCLUDED.set_by""",
            {
                **values,
                "count": count,
                "live_at": release.live_at,
                "at": self.clock.now(),
                "by": by,
            },
        )

    async def _record(
        self,
        session: Session,
        target: Environment,
        action: str,
        *,
        by: str,
        details: Mapping[str, int],
    ) -> None:
        await audit.record(
            session,
            at=self.clock.now(),
            actor=by,
            action=action,
            target=f"{target.project}/{target.name}",
            details=details,
        )

    async def _read(self, session: Session, target: Environment, release: Release) -> ScaleBody:
        wished = {row["process"]: row for row in await list_for_environment(session, target.id)}
        processes = tuple(
            ScaledProcess(
                process=name,
                count=wished[name]["count"] if name in wished else process.instances,
                manifest_count=process.instances,
                set_by=wished[name]["set_by"] if name in wished else "",
            )
            for name, process in manifest_of(release).long_running.items()
        )
        return ScaleBody(
            project=target.project,
            environment=target.name,
            release_number=release.number,
            processes=processes,
            warnings=await self._warnings(session, release, processes),
        )

    async def _warnings(
        self, session: Session, release: Release, processes: tuple[ScaledProcess, ...]
    ) -> tuple[str, ...]:
        warnings = []
        several = any(item.process == "web" and item.count > 1 for item in processes)
        if several and not manifest_of(release).services.redis and await _is_next(session, release):
            warnings.append(
                "each instance of Next.js keeps a cache of its own: what is made anew (revalidatePath, revalidate) is "
                "seen at one of them; [services] redis = true in gantry.toml gives them one"
            )
        if any(item.process == "web" and item.count == 0 for item in processes):
            warnings.append("no instance of web runs: visitors get an error page")
        asked, present = await _asked_bytes(session), self.machine_bytes()
        if asked > present:
            warnings.append(
                f"the live releases of this machine may use {format_size(asked)} of memory together, and it has "
                f"{format_size(present)}"
            )
        return tuple(warnings)


async def _is_next(session: Session, release: Release) -> bool:
    row = await session.one(
        "SELECT framework FROM builds WHERE id = %(build)s", {"build": release.build}
    )
    return row is not None and row["framework"] == "nextjs"


async def _live(session: Session, target: Environment) -> Release:
    if target.live_release is None:
        raise ConflictError(
            "scale.nothing-live",
            f"nothing is live in {target.name} of {target.project}",
            hint=f"gantry deploy --to {target.name}",
        )
    return await releases.get(session, target.live_release)


def _checked(counts: Mapping[str, int], release: Release) -> dict[str, int]:
    """By full names: `mail` also means `worker.mail`."""
    known = manifest_of(release).long_running
    checked = {}
    for name, count in counts.items():
        process = name if name in known else f"worker.{name}"
        if process not in known:
            listed = ", ".join(known) or "none"
            raise UserError(
                "scale.unknown-process",
                f"release {release.number} has no process {name[:80]!r}; it has {listed}",
                hint="gantry ps lists what runs",
            )
        if not 0 <= count <= MAX_INSTANCES:
            raise UserError(
                "scale.bad-count",
                f"{process} cannot have {counted(count, 'instance')}; from 0 to {MAX_INSTANCES} are possible",
                hint=f"gantry scale {process}=2",
            )
        checked[process] = count
    return checked


async def _asked_bytes(session: Session) -> int:
    """The memory that the instances of all live releases may use together."""
    wished = await list_current(session)
    asked = 0
    for environment in await projects.list_environments(session):
        if environment.live_release is None:
            continue
        release = await releases.get(session, environment.live_release)
        for name, process in manifest_of(release).long_running.items():
            count = wished.get(release.id, {}).get(name, process.instances)
            asked += count * process.memory_bytes
    return asked
