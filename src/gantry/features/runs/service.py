"""What may be asked of runs: begin, hold, stop, look."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from gantry.engines.database.protocol import Database, Session
from gantry.engines.runtime.protocol import Attachment, Runtime, Window
from gantry.features.audit import store as audit
from gantry.features.instances.masking import secrets_of
from gantry.features.projects import store as projects
from gantry.features.projects.model import Environment
from gantry.features.releases import store as releases
from gantry.features.releases.model import Release
from gantry.features.runs import store
from gantry.features.runs.bodies import RunBody, RunRequest
from gantry.features.runs.launching import RunLauncher
from gantry.features.runs.model import Program, Run, RunState
from gantry.features.runs.rules import End, check_room, ending, readable, shown_command
from gantry.features.variables.service import VariableService
from gantry.kernel.clock import Clock
from gantry.kernel.errors import ConflictError, GantryError, NotFoundError, UserError
from gantry.kernel.ids import IdSource
from gantry.kernel.redact import Redactor

MAX_COMMAND_CHARS = 100_000
ACTION_BEGIN, ACTION_END = "run.begin", "run.end"


@dataclass(slots=True)
class RunService:
    """Begins runs and hands out what holds them.

    Attributes:
        wake: called when there is something for the keeper to do.
        held: run -> what a client of this control plane holds of it; `None` while it is being started.
    """

    database: Database
    runtime: Runtime
    launcher: RunLauncher
    variables: VariableService
    clock: Clock
    ids: IdSource
    wake: Callable[[], None]
    held: dict[str, Attachment | None] = field(default_factory=dict)

    async def begin(
        self, project: str, environment: str, request: RunRequest, *, by: str, origin: str
    ) -> RunBody:
        """Record that somebody wants to run something. A detached run is started by the keeper, another one by `hold`.

        Raises:
            NotFoundError: `project.unknown`, `environment.unknown`, `release.unknown`.
            ConflictError: `run.too-many`, `environment.removing`.
            UserError: `run.bad-request`, `run.nothing-live`, `run.gone`, `run.no-service`.
        """
        _check(request)
        async with self.database.transaction() as session:
            await store.lock(session)
            target = await projects.get_environment(session, project, environment)
            release = await self._release(session, target, request)
            await self.launcher.check_service(session, release, Program(request.program))
            check_room(await store.list_open(session), target.id)
            run = await self._new(session, target, release, request, by=by, origin=origin)
            await store.insert(session, run)
            await audit.record(
                session,
                at=run.created_at,
                actor=by,
                action=ACTION_BEGIN,
                target=f"{project}/{environment}",
                details={
                    "run": run.id,
                    "command": run.command,
                    "release": release.number,
                    "from": origin,
                    "detached": run.detached,
                },
            )
        if run.detached:
            self.wake()
        return RunBody.of(run, target, self.clock.now())

    async def hold(
        self, run_id: str, *, by: str, window: Window, term: str
    ) -> tuple[Run, Attachment]:
        """Start a run that waits, with its input and output in the hands of the caller.

        Raises:
            NotFoundError: `run.unknown`.
            ConflictError: `run.not-waiting`.
            GantryError: it cannot be started; its end is recorded.
        """
        run, argv = await self._claim(run_id, by=by)
        self.held[run_id] = None
        try:
            spec = await self.launcher.spec(run, argv, term=term)
            held = await self.runtime.start_attached(spec, window if run.terminal else None)
        except BaseException as error:
            self.let_go(run_id)
            if isinstance(error, GantryError):
                told = readable(error, run, argv)
                await self.record_end(End(run, None, told.message))
                raise told from error
            raise
        self.held[run_id] = held
        return run, held

    async def finish(self, run: Run) -> RunBody:
        """Record the end of a run that was held to its end; how it ended."""
        status = (await self.runtime.statuses()).get(run.process_id)
        async with self.database.transaction() as session:
            known = await store.get(session, run.environment, run.id)
        await self.record_end(ending(known, status))
        async with self.database.transaction() as session:
            target = await projects.get_environment_by_id(session, run.environment)
            known = await store.get(session, run.environment, run.id)
        return RunBody.of(known, target, self.clock.now())

    def let_go(self, run_id: str) -> None:
        """Hang up. What still runs is ended by the keeper."""
        held = self.held.pop(run_id, None)
        if held is not None:
            held.close()
        self.wake()

    async def give_up(self, run: Run, reason: str) -> None:
        """Tell a run that is held to end, and record why."""
        async with self.database.transaction() as session:
            await store.set_stopping(session, run.id, reason=reason, at=self.clock.now())
        await self.runtime.signal(run.process_id)

    async def stop(self, project: str, environment: str, run_id: str, *, by: str) -> RunBody:
        """Tell a run to end; one that has ended stays as it is.

        Raises:
            NotFoundError: `project.unknown`, `environment.unknown`, `run.unknown`.
        """
        now = self.clock.now()
        async with self.database.transaction() as session:
            target = await projects.get_environment(session, project, environment)
            run = await store.get(session, target.id, run_id)
            stopped = await store.set_stopping(session, run_id, reason=f"stopped by {by}", at=now)
            if stopped:
                await audit.record(
                    session,
                    at=now,
                    actor=by,
                    action="run.stop",
                    target=f"{project}/{environment}",
                    details={"run": run_id},
                )
            run = await store.get(session, target.id, run_id)
        if stopped:
            await self.runtime.signal(run.process_id)
            self.wake()
        return RunBody.of(run, target, now)

    async def get(self, project: str, environment: str, run_id: str) -> tuple[Run, RunBody]:
        """One run.

        Raises:
            NotFoundError: `project.unknown`, `environment.unknown`, `run.unknown`.
        """
        async with self.database.transaction() as session:
            target = await projects.get_environment(session, project, environment)
            run = await store.get(session, target.id, run_id)
        return run, RunBody.of(run, target, self.clock.now())

    async def list(self, project: str, environment: str, *, limit: int) -> tuple[RunBody, ...]:
        """The newest runs, newest first.

        Raises:
            NotFoundError: `project.unknown`, `environment.unknown`.
        """
        async with self.database.transaction() as session:
            target = await projects.get_environment(session, project, environment)
            runs = await store.list_recent(session, target.id, limit=limit)
        now = self.clock.now()
        return tuple(RunBody.of(run, target, now) for run in runs)

    async def record_end(self, end: End) -> None:
        """Record how a run ended, once, in the audit log too."""
        run, now = end.run, self.clock.now()
        async with self.database.transaction() as session:
            if not await store.set_ended(
                session, run.id, exit_code=end.exit_code, detail=end.detail, at=now
            ):
                return
            target = await projects.get_environment_by_id(session, run.environment)
            elapsed_s = None if run.started_at is None else (now - run.started_at).total_seconds()
            await audit.record(
                session,
                at=now,
                actor=run.requested_by,
                action=ACTION_END,
                target=f"{target.project}/{target.name}",
                details={
                    "run": run.id,
                    "exit_code": end.exit_code,
                    "detail": end.detail,
                    "elapsed_s": None if elapsed_s is None else round(elapsed_s, 1),
                },
            )

    async def _claim(self, run_id: str, *, by: str) -> tuple[Run, tuple[str, ...]]:
        now = self.clock.now()
        async with self.database.transaction() as session:
            waiting = {run.id: run for run in await store.list_open(session)}
            run = waiting.get(run_id)
            if run is None or run.requested_by != by or run.detached:
                raise NotFoundError(
                    "run.unknown", f"no run {run_id!r} waits for you", hint="gantry runs"
                )
            sealed = run.argv_sealed
            if sealed is None or not await store.set_running(session, run_id, at=now):
                raise ConflictError(
                    "run.not-waiting", f"{run_id} is held already", hint="gantry runs"
                )
        running = replace(run, state=RunState.RUNNING, started_at=now, argv_sealed=None)
        return running, self.launcher.opened(sealed)

    async def _release(self, session: Session, target: Environment, request: RunRequest) -> Release:
        if target.removing:
            raise ConflictError(
                "environment.removing", f"{target.name} of {target.project} is being deleted"
            )
        if request.release is None:
            if target.live_release is None:
                raise UserError(
                    "run.nothing-live",
                    f"nothing is live in {target.name} of {target.project}, so there is nothing to run it in",
                    hint=f"gantry deploy --to {target.name}",
                )
            return await releases.get(session, target.live_release)
        release = await releases.find_by_number(session, target.id, request.release)
        if release is None:
            raise NotFoundError(
                "release.unknown",
                f"{target.name} of {target.project} has no release {request.release}",
                hint=f"gantry releases -e {target.name}",
            )
        return release

    async def _new(
        self,
        session: Session,
        target: Environment,
        release: Release,
        request: RunRequest,
        *,
        by: str,
        origin: str,
    ) -> Run:
        secrets = await secrets_of(session, self.variables, target.id, (release.id,))
        program = Program(request.program)
        return Run(
            id=self.ids.new("run"),
            environment=target.id,
            release=release.id,
            release_number=release.number,
            program=program,
            command=shown_command(request.command, program, Redactor(secrets)),
            terminal=request.terminal,
            detached=request.detach,
            read_only=request.read_only,
            timeout_s=request.timeout_s,
            requested_by=by,
            origin=origin,
            state=RunState.WAITING,
            created_at=self.clock.now(),
            argv_sealed=self.launcher.sealed(request.command),
        )


def _check(request: RunRequest) -> None:
    if request.detach and request.terminal:
        fault, hint = "what is detached has no terminal", "gantry run --detach -- COMMAND"
    elif request.detach and not request.command:
        fault, hint = "what is detached needs a command", "gantry run --detach -- COMMAND"
    elif any("\0" in argument for argument in request.command):
        fault, hint = "an argument holds a NUL character", "gantry run --help"
    elif request.command and not request.command[0] and request.program == "command":
        fault, hint = "the command is empty", "gantry run -- COMMAND"
    elif sum(map(len, request.command)) > MAX_COMMAND_CHARS:
        fault = f"the command has more than {MAX_COMMAND_CHARS:,} characters"
        hint = "gantry run -- sh -s < script.sh"
    else:
        return
    raise UserError("run.bad-request", fault, hint=hint)
