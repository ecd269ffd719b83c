"""What every workshop must do, asked of the fake and of the real one."""

import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from gantry.engines.builders.protocol import BuildRequest, Workshop
from gantry.engines.builders.workshop import LocalWorkshop
from gantry.engines.runtime.protocol import ProcessSpec
from gantry.kernel.clock import ManualClock
from gantry.kernel.errors import IntegrityError, UserError
from tests.fakes.builders import FakeWorkshop
from tests.fakes.machine import Machine
from tests.fakes.programs import TASK_S
from tests.support.builders import (
    NODE_PACKAGE,
    NODE_SERVER,
    a_request,
    a_workshop,
    run_task,
    write_tree,
)


@dataclass(frozen=True, slots=True)
class Case:
    """A workshop, a way to run its tasks, and one to damage an artifact."""

    workshop: Workshop
    run: Callable[[ProcessSpec], Awaitable[object]]
    damage: Callable[[str], None]
    request: BuildRequest


@pytest.fixture(params=["fake", pytest.param("local", marks=pytest.mark.real)])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    files = {"package.json": NODE_PACKAGE, "server.js": NODE_SERVER}
    wanted = a_request(write_tree(tmp_path / "tree", files), test="node -e 'process.exit(0)'")
    if request.param == "fake":
        machine = Machine(ManualClock())

        async def spawn(spec: ProcessSpec) -> None:
            machine.spawn(spec)
            machine.pass_time(TASK_S)

        return Case(FakeWorkshop(machine), spawn, machine.altered.add, wanted)
    workshop = a_workshop(tmp_path / "home")

    def damage(digest: str) -> None:
        (tmp_path / "home/artifacts" / digest / "app/server.js").write_text("altered")

    return Case(workshop, run_task, damage, wanted)


def _fresh(case: Case, tmp_path: Path) -> Workshop:
    """The same workshop after a restart of the control plane."""
    return (
        a_workshop(tmp_path / "home") if isinstance(case.workshop, LocalWorkshop) else case.workshop
    )


async def _build(case: Case, request: BuildRequest) -> str:
    spec = await case.workshop.build_task(request)
    assert spec.id == f"build-{request.id}"
    assert spec.sandbox is None
    await case.run(spec)
    outcome = await case.workshop.outcome(spec.id)
    assert outcome is not None
    assert outcome.artifact is not None, outcome.message
    assert not outcome.code
    assert not outcome.artifact.tested
    return outcome.artifact.digest


async def test_a_build_is_made_once_and_found_again(case: Case, tmp_path: Path) -> None:
    workshop = case.workshop
    assert await workshop.find(case.request) is None
    digest = await _build(case, case.request)
    assert workshop.key(case.request) == workshop.key(replace(case.request, id="b-2"))
    found = await _fresh(case, tmp_path).find(replace(case.request, id="b-2"))
    assert found is not None
    assert found.digest == digest
    assert found.web
    assert (await workshop.artifact(digest)).digest == digest
    assert set(await workshop.list()) == {digest}
    assert await workshop.find(replace(case.request, command="true")) is None


def test_what_a_build_does_not_get_is_no_part_of_its_identity(case: Case, tmp_path: Path) -> None:
    withheld = replace(case.request, withheld=("SECRET",), of_services=("DATABASE_URL",))
    assert case.workshop.key(withheld) == case.workshop.key(case.request)
    assert case.workshop.key(replace(withheld, env={"SECRET": "s"})) != case.workshop.key(withheld)


def test_a_fresh_build_is_another_one_and_its_cache_is_no_part_of_it(case: Case) -> None:
    key, fresh = case.workshop.key(case.request), replace(case.request, fresh="dep-1")
    assert case.workshop.key(fresh) != key
    assert case.workshop.key(replace(fresh, cached=False)) == case.workshop.key(fresh)


async def test_what_a_build_leaves_is_cleared_at_once(case: Case, tmp_path: Path) -> None:
    workshop = case.workshop
    assert await workshop.cache_bytes("shop") == 0
    assert await workshop.clear_cache("shop") == 0
    digest = await _build(case, case.request)
    if isinstance(workshop, LocalWorkshop):  # a product without packages leaves nothing
        write_tree(tmp_path / "home/cache/builds/shop/packages/k", {"a.js": "a", "b/c.js": "bc"})
        write_tree(tmp_path / "home/cache/builds/shopping/packages/k", {"a.js": "a"})
    kept = await workshop.cache_bytes("shop")
    assert kept > 0
    assert await workshop.clear_cache("shop") == kept
    assert await workshop.cache_bytes("shop") == 0
    assert await workshop.clear_cache("shop") == 0
    if isinstance(workshop, LocalWorkshop):
        assert await workshop.cache_bytes("shopping") == 1
    assert (await workshop.artifact(digest)).digest == digest


async def test_an_artifact_says_what_it_was_built_with(case: Case, tmp_path: Path) -> None:
    digest = await _build(case, case.request)
    tools = (await _fresh(case, tmp_path).artifact(digest)).tools
    assert list(tools) == ["node", "npm"]
    assert all(version[0].isdigit() for version in tools.values())


def test_the_product_s_framework_says_which_variables_everybody_may_see(
    case: Case, tmp_path: Path
) -> None:
    assert case.workshop.public_prefixes(case.request) == ()
    files = {"package.json": '{"devDependencies": {"vite": "7"}}'}
    request = a_request(write_tree(tmp_path / "vite", files))
    assert case.workshop.public_prefixes(request) == ("VITE_",)


async def test_tests_that_passed_are_remembered(case: Case) -> None:
    await _build(case, case.request)
    spec = await case.workshop.test_task(case.request)
    assert spec.id == "test-b-1"
    await case.run(spec)
    outcome = await case.workshop.outcome(spec.id)
    assert outcome is not None
    assert not outcome.code, outcome.message
    found = await case.workshop.find(case.request)
    assert found is not None
    assert found.tested


async def test_a_task_that_did_not_run_has_no_outcome(case: Case) -> None:
    assert await case.workshop.outcome("build-unknown") is None
    assert await case.workshop.outcome("nonsense") is None


async def test_a_damaged_artifact_is_refused_once_and_then_built_anew(
    case: Case, tmp_path: Path
) -> None:
    digest = await _build(case, case.request)
    case.damage(digest)
    workshop = _fresh(case, tmp_path)
    with pytest.raises(IntegrityError) as refusal:
        await workshop.find(case.request)
    assert refusal.value.code == "artifact.corrupt"
    assert await workshop.find(case.request) is None
    with pytest.raises(IntegrityError) as missing:
        await workshop.artifact(digest)
    assert missing.value.code == "artifact.missing"
    assert await _build(case, replace(case.request, id="b-2")) == digest


async def test_what_was_removed_is_gone(case: Case) -> None:
    digest = await _build(case, case.request)
    await case.workshop.remove(digest)
    await case.workshop.remove(digest)
    assert await case.workshop.find(case.request) is None
    assert dict(await case.workshop.list()) == {}
    with pytest.raises(IntegrityError):
        await case.workshop.artifact(digest)


async def test_discarding_a_build_keeps_its_artifact(case: Case) -> None:
    assert await case.workshop.folders() == frozenset()
    digest = await _build(case, case.request)
    assert await case.workshop.folders() == {case.request.id}
    await case.workshop.discard(case.request.id)
    await case.workshop.discard(case.request.id)
    assert await case.workshop.folders() == frozenset()
    assert await case.workshop.outcome("build-b-1") is None
    assert (await case.workshop.artifact(digest)).digest == digest


async def test_an_unknown_tree_is_refused(case: Case, tmp_path: Path) -> None:
    with pytest.raises(UserError) as refusal:
        case.workshop.detect(write_tree(tmp_path / "empty", {"a.txt": ""}))
    assert refusal.value.code == "build.unknown-framework"


@pytest.mark.real
async def test_a_snapshot_may_go_once_it_was_built(tmp_path: Path) -> None:
    workshop = a_workshop(tmp_path / "home")
    tree = write_tree(tmp_path / "tree", {"index.html": "<h1>hello</h1>"})
    request = a_request(tree)
    await run_task(await workshop.build_task(request))
    shutil.rmtree(tree)
    assert await workshop.find(request) is not None
