"""Act: releases that nothing needs any more stop."""

import logging
from dataclasses import dataclass

from gantry.engines.database.protocol import State
from gantry.features.releases import store
from gantry.features.releases.model import ReleaseState
from gantry.features.releases.reading import patience_of
from gantry.features.releases.rules import to_retire
from gantry.kernel.clock import Clock
from gantry.reactor.memory import Memory
from gantry.reactor.world import World

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReleaseActs:
    """Retires releases; their instances then stop because nobody wants them."""

    state: State
    memory: Memory
    clock: Clock

    async def retire(self, world: World) -> None:
        """Retire what `features.releases.decide` says may stop."""
        backends = world.edge.backends
        self.memory.note_requests({name: one.requests for name, one in backends.items()}, world.now)
        done = to_retire(
            world.releases.values(),
            live={key: environment.live_release for key, environment in world.environments.items()},
            held=frozenset(
                deploy.release for deploy in world.deploys if deploy.release is not None
            ),
            active_requests={name: one.active_requests for name, one in backends.items()},
            asked_at={name: at for name, (_, at) in self.memory.asked.items()},
            patience={release.id: patience_of(release) for release in world.releases.values()},
            now=world.now,
        )
        for release in done:
            async with self.state.transaction() as session:
                await store.set_state(
                    session, release.id, ReleaseState.RETIRED, at=self.clock.now()
                )
            _log.info("release %s (%s) is retired", release.number, release.id)
