"""What `gantry plan` says of a deploy, and that saying it changes nothing."""

import pytest

from gantry.features.deploys.bodies import PlanBody
from gantry.features.deploys.model import DeployState
from gantry.kernel.errors import UserError
from tests.fakes.programs import Program
from tests.sim.platform import MANIFEST, Platform, program


async def plan(platform: Platform, source: str, environment: str = "production") -> PlanBody:
    """The plan of a deploy, made without a single commit and without a trace on the machine."""
    machine = platform.machine
    before = (platform.counted.commits, list(machine.spawned), dict(machine.databases))
    found = await platform.plane.planner.plan("shop", environment, source)
    assert (platform.counted.commits, machine.spawned, machine.databases) == before
    return found


def lines(body: PlanBody, *kinds: str) -> list[tuple[str, str, str]]:
    """The changes of some kinds: what, action and name."""
    return [
        (change.what, change.action, change.name) for change in body.changes if change.what in kinds
    ]


async def deployed(platform: Platform, source: str) -> None:
    """A deploy to production that went well."""
    ended = await platform.finish((await platform.request(source)).id)
    assert (ended.state, ended.error) == (DeployState.SUCCEEDED, None)


async def test_what_is_live_already_is_a_release_of_the_same_build(live: Platform) -> None:
    found = await plan(live, live.sources.put(program("1")))
    (artifact,) = live.machine.artifacts
    (database,) = live.machine.databases
    assert lines(found, "host", "build", "release", "variable", "setting", "service") == [
        ("build", "keep", f"artifact {artifact[:12]} was built from this tree"),
        ("release", "create", "release 2"),
        ("service", "keep", f"postgres {database}"),
    ]
    assert found.changes[1].before == "release 1"
    assert found.blockers == ()
    assert found.unchanged


async def test_another_tree_is_built_and_its_settings_are_compared(live: Platform) -> None:
    manifest = MANIFEST.replace("instances = 2", "instances = 3")
    found = await plan(live, live.sources.put(Program(manifest=manifest)))
    assert lines(found, "build") == [("build", "create", "this tree was not built before")]
    (setting,) = [change for change in found.changes if change.what == "setting"]
    assert (setting.action, setting.before, setting.after) == ("change", "2", "3")
    assert setting.name == "processes.web.instances"
    assert not found.unchanged


async def test_a_build_that_is_kept_but_not_live_is_a_change(live: Platform) -> None:
    first = live.sources.put(program("1"))
    await deployed(live, live.sources.put(program("2")))
    found = await plan(live, first)
    assert lines(found, "build", "setting", "variable")[0][:2] == ("build", "keep")
    assert not found.unchanged


async def test_rules_are_compared_as_values_and_not_as_python(live: Platform) -> None:
    """Vercel's word for a rule, another order of keys and another place for its default mean the same."""
    first = (
        MANIFEST
        + """
[[routes.headers]]
source = "/a/:path*"
headers = { X-Frame-Options = "DENY", Cache-Control = "no-store" }

[[routes.redirects]]
source = "/old"
destination = "/new"
"""
    )
    same = (
        MANIFEST
        + """
[[routes.redirects]]
destination = "/new"
permanent = true
source = "/old"

[[routes.headers]]
headers = [{ key = "Cache-Control", value = "no-store" }, { key = "X-Frame-Options", value = "DENY" }]
source = "/a/:path*"
"""
    )
    await deployed(live, live.sources.put(Program(manifest=first)))
    found = await plan(live, live.sources.put(Program(manifest=same)))
    assert lines(found, "setting") == []
    other = first.replace('"/new"', '"/newer"')
    changes = (await plan(live, live.sources.put(Program(manifest=other)))).changes
    assert [(c.action, c.name, c.before, c.after) for c in changes if c.what == "setting"] == [
        ("remove", "routes.redirects", 'source = "/old", destination = "/new"', ""),
        ("create", "routes.redirects", "", 'source = "/old", destination = "/newer"'),
    ]


async def test_variables_are_compared_and_never_shown(live: Platform) -> None:
    source = live.sources.put(program("1"))

    async def change(put: dict[str, str], *remove: str) -> None:
        await live.plane.variables.change("shop", "production", put=put, remove=remove, by="ada")

    await change({"STAYS": "value-of-stays", "CHANGES": "value-before", "GOES": "value-of-goes"})
    first = await plan(live, source)
    assert lines(first, "variable") == [
        ("variable", "create", "CHANGES"),
        ("variable", "create", "GOES"),
        ("variable", "create", "STAYS"),
    ]
    await deployed(live, source)
    await change({"CHANGES": "value-after", "COMES": "value-of-comes"}, "GOES")
    second = await plan(live, source)
    assert lines(second, "variable") == [
        ("variable", "change", "CHANGES"),
        ("variable", "create", "COMES"),
        ("variable", "remove", "GOES"),
    ]
    assert "value-" not in first.model_dump_json() + second.model_dump_json()


@pytest.mark.parametrize(("name", "action"), [("PUBLIC_URL", "create"), ("PASSWORD", "keep")])
async def test_only_a_value_that_the_build_reads_makes_it_another(
    live: Platform, name: str, action: str
) -> None:
    build = '[build]\nenv = ["PUBLIC_URL"]\n'
    source = live.sources.put(Program(manifest=MANIFEST.replace("[build]\n", build)))
    await deployed(live, source)
    await live.plane.variables.change("shop", "production", put={name: "new"}, remove=(), by="ada")
    assert [found for _, found, _ in lines(await plan(live, source), "build")] == [action]


async def test_services_are_kept_or_created(live: Platform) -> None:
    manifest = MANIFEST.replace("postgres = true", "postgres = true\nredis = {}")
    found = await plan(live, live.sources.put(Program(manifest=manifest)))
    (database,) = live.machine.databases
    assert lines(found, "service") == [
        ("service", "keep", f"postgres {database}"),
        ("service", "create", "redis"),
    ]


async def test_an_artifact_that_is_not_what_was_built_is_built_anew(live: Platform) -> None:
    (artifact,) = live.machine.artifacts
    live.machine.altered.add(artifact)
    found = await plan(live, live.sources.put(program("1")))
    (build,) = lines(found, "build")
    assert build == ("build", "create", f"anew, because artifact {artifact[:12]} was altered")


async def test_what_a_deploy_would_be_refused_for_is_said(live: Platform) -> None:
    required = '[variables]\nrequired = ["SESSION_SECRET", "API_KEY", "DATABASE_URL"]\n'
    source = live.sources.put(Program(manifest=MANIFEST + required))
    (blocker,) = (await plan(live, source)).blockers
    assert (blocker.kind, blocker.code) == ("user", "variable.missing")
    assert "SESSION_SECRET, API_KEY" in blocker.message
    assert "DATABASE_URL" not in blocker.message, "the service provides it"
    await live.plane.variables.change(
        "shop", "production", put={"SESSION_SECRET": "s", "API_KEY": "k"}, remove=(), by="ada"
    )
    assert (await plan(live, source)).blockers == ()


async def test_the_first_deploy_to_an_environment(live: Platform) -> None:
    found = await plan(live, live.sources.put(program("1")), "staging")
    assert lines(found, "host", "build", "release", "service") == [
        ("host", "create", "https://staging--shop.localhost:8443"),
        ("build", "create", "the first build of this environment"),
        ("release", "create", "release 1"),
        ("service", "create", "postgres"),
    ]


async def test_a_release_that_failed_has_had_its_number(live: Platform) -> None:
    broken = live.sources.put(program("broken", migrate="fail"))
    failed = await live.finish((await live.request(broken, "staging")).id)
    assert failed.state is DeployState.FAILED
    found = await plan(live, live.sources.put(program("1")), "staging")
    assert lines(found, "release") == [("release", "create", "release 2")]
    mended = await live.request(live.sources.put(program("mended")), "staging")
    release = (await live.finish(mended.id)).release
    assert release is not None
    assert (await live.release(release)).number == 2


@pytest.mark.parametrize(
    ("environment", "manifest", "code"),
    [
        ("preview", MANIFEST, "environment.bad-name"),
        ("production", MANIFEST.replace('"shop"', '"blog"'), "source.other-project"),
        ("production", MANIFEST + "[processes.web]\n", "manifest.invalid"),
    ],
)
async def test_what_cannot_be_planned(
    live: Platform, environment: str, manifest: str, code: str
) -> None:
    source = live.sources.put(Program(manifest=manifest))
    with pytest.raises(UserError) as caught:
        await plan(live, source, environment)
    assert caught.value.code == code


async def test_a_snapshot_that_is_not_kept_cannot_be_planned(live: Platform) -> None:
    with pytest.raises(UserError) as caught:
        await plan(live, "0" * 64)
    assert caught.value.code == "source.unknown"
