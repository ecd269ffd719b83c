"""Variables that reach the build and change while a deploy is on its way: what is built is what its key says."""

import pytest

from gantry.features.builds import store as builds
from gantry.features.builds.model import Build
from gantry.features.deploys.model import Deploy, DeployState, Step
from gantry.kernel.errors import UserError
from tests.fakes.programs import Program
from tests.sim.platform import MANIFEST, Platform

NAMED = MANIFEST.replace("[build]", '[build]\nenv = ["COLOUR"]')


async def _set(platform: Platform, colour: str | None, environment: str = "production") -> None:
    await platform.plane.variables.change(
        "shop",
        environment,
        put={} if colour is None else {"COLOUR": colour},
        remove=("COLOUR",) if colour is None else (),
        by="ada",
    )


async def _build(platform: Platform, deploy_id: str) -> Build:
    deploy = await platform.get(deploy_id)
    assert deploy.build is not None
    async with platform.database.transaction() as session:
        return await builds.get(session, deploy.build)


async def _until(platform: Platform, deploy: Deploy, step: Step) -> None:
    """Look until the deploy is at `step`, which nothing was done for yet."""
    while (await platform.get(deploy.id)).step is not step:
        await platform.tick()


def _given(platform: Platform, task: str) -> dict[str, str]:
    """The variables that a task was started with."""
    return dict(platform.machine.tasks[task].request.env)


@pytest.mark.parametrize("later", ["green", None])
@pytest.mark.parametrize("step", [Step.BUILD, Step.TEST])
async def test_what_is_built_and_tested_is_what_the_key_says(
    live: Platform, step: Step, later: str | None
) -> None:
    await _set(live, "red")
    tree = live.sources.put(Program(manifest=NAMED))
    asked = await live.request(tree)
    await _until(live, asked, step)
    await _set(live, later)
    ended = await live.finish(asked.id)
    assert (ended.state, ended.error) == (DeployState.SUCCEEDED, None)
    build = await _build(live, asked.id)
    for task in (build.build_task, build.test_task):
        assert _given(live, task) == {"COLOUR": "red"}, task

    # The same tree again is another build now, and not the one that was made for another value.
    again = await live.request(tree)
    assert (await live.finish(again.id)).state is DeployState.SUCCEEDED
    anew = await _build(live, again.id)
    assert anew.key != build.key
    assert _given(live, anew.build_task) == ({} if later is None else {"COLOUR": later})


async def test_a_variable_that_changed_after_the_build_began_is_not_taken_for_built_in(
    live: Platform,
) -> None:
    await _set(live, "red")
    asked = await live.request(live.sources.put(Program(manifest=NAMED)))
    await _until(live, asked, Step.TEST)
    await _set(live, "green")
    assert (await live.finish(asked.id)).state is DeployState.SUCCEEDED
    with pytest.raises(UserError, match="COLOUR changed in production") as refusal:
        await live.plane.deploys.redeploy("shop", "production", by="ada")
    assert refusal.value.code == "redeploy.built-in"


async def test_a_promotion_compares_with_what_was_built_and_not_with_what_was_set_later(
    live: Platform,
) -> None:
    await _set(live, "red", "staging")
    await _set(live, "green", "production")
    asked = await live.request(live.sources.put(Program(manifest=NAMED)), "staging")
    await _until(live, asked, Step.TEST)
    await _set(live, "green", "staging")
    assert (await live.finish(asked.id)).state is DeployState.SUCCEEDED
    promoted = await live.plane.deploys.promote(
        "shop", "production", from_environment="staging", by="ada"
    )
    assert (await live.finish(promoted.id)).state is DeployState.SUCCEEDED
    build = await _build(live, promoted.id)
    assert _given(live, build.build_task) == {"COLOUR": "green"}


async def test_what_a_build_was_made_with_is_not_kept_longer_than_it(live: Platform) -> None:
    await _set(live, "red")
    tree = live.sources.put(Program(manifest=NAMED, build="fail"))
    asked = await live.request(tree)
    assert (await live.finish(asked.id)).state is DeployState.FAILED
    build = await _build(live, asked.id)
    async with live.database.transaction() as session:
        assert await builds.variables_sealed(session, build.id) is None
