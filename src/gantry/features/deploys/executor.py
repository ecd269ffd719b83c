"""Carries out what the pipeline decided, and records how far a deploy is. The only place that moves a deploy on."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from gantry.engines.database.protocol import Session
from gantry.features.builds import store as builds
from gantry.features.builds.model import BuildState
from gantry.features.deploys import store
from gantry.features.deploys.act import Context, Work
from gantry.features.deploys.model import Deploy, DeployKind, DeployState, Step
from gantry.features.deploys.pipeline import ROWS, Intent, following
from gantry.features.deploys.rules import Do, Fail, Next
from gantry.features.instances import store as instances
from gantry.features.instances.ending import end_process
from gantry.features.instances.masking import secrets_of
from gantry.features.projects import store as projects
from gantry.features.releases import store as releases
from gantry.features.releases.model import ReleaseState
from gantry.features.rollouts import store as rollouts
from gantry.kernel.errors import Cancelled
from gantry.kernel.redact import Redactor

_log = logging.getLogger(__name__)

# What is kept with a failed deploy of what its instance printed.
MAX_LAST_LINES = 100
_LAST_BYTES = 32_000

Action = Intent | Do | Next | Fail


@dataclass(frozen=True, slots=True)
class DeployExecutor:
    """Moves deploys on.

    Attributes:
        tidy: called when a deploy has ended: what it needed may be deleted now.
    """

    context: Context
    tidy: Callable[[], None]

    async def carry_out(self, work: Work, action: Action) -> None:
        """Carry out one action of one deploy.

        Raises:
            TransientError: to be tried again.
            GantryError: the deploy has failed for this reason.
        """
        match action:
            case Intent.BEGIN:
                await self._begin(work.deploy)
            case Intent.CANCEL:
                error = Cancelled("deploy.cancelled", "the deploy was cancelled").as_dict()
                await self._end(work, DeployState.CANCELLED, error)
            case Fail(error):
                lines = await self._last_lines(work)
                ended = {**error, "last_lines": lines} if lines else dict(error)
                await self._end(work, DeployState.FAILED, ended)
            case Next():
                await self._advance(work.deploy, action)
            case Do():
                result = await ROWS[work.deploy.step].acts[action](self.context, work)
                if result is not None:
                    await self._advance(work.deploy, result)

    async def _begin(self, deploy: Deploy) -> None:
        async with self.context.database.transaction() as session:
            await store.activate(session, deploy, at=self.context.clock.now())

    async def _advance(self, deploy: Deploy, result: Next) -> None:
        to = following(deploy.kind, deploy.step)
        async with self.context.database.transaction() as session:
            await store.advance(
                session,
                deploy,
                to,
                state=result.state,
                detail=result.detail,
                at=self.context.clock.now(),
            )
        _log.info("%s: %s %s %s", deploy.id, deploy.step, result.state, result.detail)
        if to is None:
            self._over(deploy)

    async def _end(self, work: Work, state: DeployState, error: dict[str, str]) -> None:
        deploy, now = work.deploy, self.context.clock.now()
        for task_id in _own_tasks(work):
            await end_process(self.context.runtime, self.context.clock, task_id)
        async with self.context.database.transaction() as session:
            if work.rollout is not None:
                await rollouts.abort(session, work.rollout.id, error["message"], at=now)
            await self._undo_switch(session, deploy)
            if deploy.release is not None and deploy.kind.makes_release:
                await releases.set_state(session, deploy.release, ReleaseState.FAILED, at=now)
            await self._abandon_build(session, work, error)
            await store.finish_failed(session, deploy, state, error, at=now)
        self._over(deploy)
        _log.warning("%s: %s at %s: %s", deploy.id, state, deploy.step, error["message"])

    async def _last_lines(self, work: Work) -> str:
        """The end of what the worst instance of a release printed that did not come up; its log goes with it."""
        deploy, context = work.deploy, self.context
        if deploy.release is None or deploy.step not in (Step.HEALTHY, Step.SWITCH):
            return ""
        async with context.database.transaction() as session:
            present = await instances.list_for_environments(session, (deploy.environment,))
            secrets = await secrets_of(
                session, context.variables, deploy.environment, (deploy.release,)
            )
        own = [item for item in present if item.release == deploy.release]
        worst = max(own, key=lambda item: (item.failures, item.healthy_at is None), default=None)
        if worst is None:
            return ""
        log = await context.runtime.read_log(worst.id, offset=-_LAST_BYTES, limit_bytes=_LAST_BYTES)
        return "\n".join(Redactor(secrets)(log.text).splitlines()[-MAX_LAST_LINES:])

    def _over(self, deploy: Deploy) -> None:
        self.context.answers.forget(deploy.id)
        self.tidy()

    async def _undo_switch(self, session: Session, deploy: Deploy) -> None:
        """Give visitors what they had before again, where a switch was recorded and not confirmed."""
        environment = await projects.lock_environment(session, deploy.environment)
        if deploy.release is None or environment.live_release != deploy.release:
            return
        if deploy.kind is DeployKind.RESTART:
            return  # it switches nothing
        # Asked anew: the switch may have been recorded after the look that `deploy` is from.
        previous = (await store.get(session, deploy.id)).previous_release
        if previous is None and deploy.kind is DeployKind.ROLLBACK:
            return  # it was live already, or comes after nothing; and it is no worse than before
        if previous == deploy.release:
            return
        await releases.set_live(
            session,
            environment.id,
            previous,
            previous=deploy.release,
            at=self.context.clock.now(),
        )

    async def _abandon_build(self, session: Session, work: Work, error: dict[str, str]) -> None:
        build = work.build
        if build is None or work.shares_build:
            return
        if build.state in (BuildState.BUILDING, BuildState.BUILT):
            await builds.set_failed(session, build.id, error, at=self.context.clock.now())


def _own_tasks(work: Work) -> tuple[str, ...]:
    """The processes that run for this deploy alone."""
    tasks = [work.deploy.migrate_task]
    if work.build is not None and not work.shares_build:
        tasks += [work.build.build_task, work.build.test_task]
    return tuple(task for task in tasks if task in work.processes)
