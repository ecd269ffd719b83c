"""Fills a platform with a plausible past: what the console is looked at with, in tests and by hand."""

import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from gantry.cache.policy import Lifetime
from gantry.cache.store import Key, StoredAnswer
from gantry.cache.tally import Event
from gantry.engines.builders.protocol import Artifact, BuildRequest, Place
from gantry.engines.database.protocol import Session
from gantry.features.audit import store as audit
from gantry.features.builds import store as builds
from gantry.features.deploys import store as deploys
from gantry.features.deploys.model import (
    Deploy,
    DeployKind,
    DeployState,
    Step,
    StepState,
)
from gantry.features.deploys.pipeline import steps_of
from gantry.features.instances import store as instances
from gantry.features.instances.exits import Exit
from gantry.features.projects import store as projects
from gantry.features.projects.model import Environment
from gantry.features.releases import store as releases
from gantry.features.releases.model import Commit, Release, ReleaseState
from gantry.features.rollouts import store as rollouts
from gantry.features.rollouts.model import Rollout, RolloutState, Stage, StageKind
from gantry.features.services import store as services
from gantry.features.services.model import Service, ServiceKind
from gantry.features.variables import store as variables
from tests.support.web import House

# Step -> how long it took, in seconds, and what it said; a step that is not here took no time and was skipped.
_STORY: dict[Step, tuple[float, str]] = {
    Step.SOURCE: (0.4, "212 files, 1.4 MB"),
    Step.BUILD: (34.2, "Next.js 16.4, 41.2 MB"),
    Step.TEST: (12.1, "38 tests passed"),
    Step.RELEASE: (0.1, ""),
    Step.MIGRATE: (1.3, "2 migrations applied"),
    Step.START: (0.2, "2 instances"),
    Step.HEALTHY: (0.9, "2 of 2 answer /api/health"),
    Step.SMOKE: (0.3, "3 checks passed"),
    Step.ROLLOUT: (0.0, "all traffic moves at once"),
    Step.SWITCH: (0.1, "the public port answers with the new release after 41 ms"),
    Step.DRAIN: (10.2, "no request was left on the old release"),
}
COUNTED: dict[Event, int] = {"hits": 11_304, "stale": 362, "misses": 306, "bypassed": 214}

_ROUTES = {"limits": [{"source": "/api/:path*", "rate": "100/minute", "per": "cookie session"}]}
_MANIFEST = {"project": {"name": "shop"}}


@dataclass(frozen=True, slots=True)
class Change:
    """One commit of the story."""

    message: str
    author: str
    branch: str = "main"


CHANGES = (
    Change("Show announcements on lobby screens", "Ada Okafor"),
    Change("Let communities pin an announcement", "Jonas Lind"),
    Change("Cache the screen feed for ten seconds", "Mira Castro"),
    Change("Fix time zone of scheduled announcements", "Ada Okafor", "fix/time-zones"),
    Change(
        "Add image uploads to the composer, with a preview and a limit of 8 MB per file",
        "Jonas Lind",
    ),
    Change("Speed up the archive page", "Mira Castro"),
)


class Seeder:
    """Writes the past, one transaction at a time."""

    def __init__(self, house: House, now: datetime, number: int = 7) -> None:
        self.house, self.now = house, now
        self.random = random.Random(number)

    async def environment(self, project: str, name: str, *, age: timedelta) -> Environment:
        """An environment that has been there for `age`."""
        at = self.now - age
        async with self.house.database.transaction() as session:
            key = self.house.box.seal("k" * 32)
            await projects.insert_project(session, project, action_key_sealed=key, at=at)
            environment_id = self.house.ids.new("env")
            await projects.insert_environment(
                session, environment_id=environment_id, project=project, name=name, at=at
            )
            await audit.record(
                session, at=at, actor="ada", action="environment.create", target=f"{project}/{name}"
            )
            return await projects.get_environment(session, project, name)

    async def build(
        self, session: Session, environment: Environment, change: Change, at: datetime
    ) -> str:
        """A finished build of a change, made once for the whole project."""
        manifest = f'[project]\nname = "{environment.project}"\n'
        key = self.house.sources.add({"gantry.toml": manifest, "message": change.message}).digest
        request = BuildRequest(self.house.ids.new("bld"), environment.project, key, Path())
        build = await builds.claim(
            session, request, key, variables_sealed=self.house.variables.seal_all({}), at=at
        )
        artifact = Artifact(
            digest=key,
            served=Place(Path()),
            framework="nextjs",
            web=(),
            reasons=("package.json depends on next 16.4.0",),
            tools={"node": "24.11.1", "pnpm": "10.22.0"},
            size_bytes=self.random.randrange(38_000_000, 43_000_000),
        )
        await builds.set_built(
            session,
            build.id,
            artifact,
            phases={"install": 9.1, "build": 21.4, "collect": 0.6},
            ready=True,
            at=at,
        )
        return build.id

    async def release(
        self,
        environment: Environment,
        change: Change,
        *,
        ago: timedelta,
        kind: DeployKind = DeployKind.DEPLOY,
        cached: tuple[str, ...] = (),
        manifest: Mapping[str, Any] | None = None,
    ) -> Release:
        """A release that went live `ago`, with the deploy that made it."""
        at = self.now - ago
        async with self.house.database.transaction() as session:
            current = await projects.lock_environment(session, environment.id)
            build = await self.build(session, environment, change, at)
            release = Release(
                id=self.house.ids.new("rel"),
                environment=environment.id,
                number=await projects.next_release_number(session, environment.id),
                build=build,
                manifest=manifest
                or {
                    **_MANIFEST,
                    "domains": [],
                    "routes": (_ROUTES if cached else {}) | {"cache": list(cached)},
                },
                commit=self.commit(change),
                state=ReleaseState.RUNNING,
                created_at=at,
            )
            sealed = self.house.variables.seal_all({"SESSION_SECRET": "correct-horse-battery"})
            await releases.insert(session, release, variables_sealed=sealed)
            await releases.set_live(
                session, environment.id, release.id, previous=current.live_release, at=at
            )
            if current.live_release:
                await releases.set_state(session, current.live_release, ReleaseState.RETIRED, at=at)
            await self.deploy(
                session, environment, change, at=at, kind=kind, release=release, build=build
            )
            return release

    async def canary(self, environment: Environment, change: Change, *stages: Stage) -> Release:
        """A release that a rollout gives its first share."""
        async with self.house.database.transaction() as session:
            current = await projects.lock_environment(session, environment.id)
            assert current.live_release is not None, "it takes visitors from one"
            release = Release(
                id=self.house.ids.new("rel"),
                environment=environment.id,
                number=await projects.next_release_number(session, environment.id),
                build=await self.build(session, environment, change, self.now),
                manifest={**_MANIFEST, "domains": []},
                commit=self.commit(change),
                state=ReleaseState.RUNNING,
                created_at=self.now,
            )
            sealed = self.house.variables.seal_all({})
            await releases.insert(session, release, variables_sealed=sealed)
            deploy = await self.deploy(
                session, environment, change, at=self.now, release=release, until=Step.ROLLOUT
            )
            rollout = Rollout(
                id=self.house.ids.new("ro"),
                deploy=deploy.id,
                environment=environment.id,
                candidate=release.id,
                current=current.live_release,
                stages=stages,
                stage=0,
                state=RolloutState.RUNNING,
                approval=False,
                cookie_key="key",
                started_at=self.now,
                stage_started_at=self.now,
            )
            await rollouts.insert(session, rollout)
            return release

    async def deploy(
        self,
        session: Session,
        environment: Environment,
        change: Change,
        *,
        at: datetime,
        kind: DeployKind = DeployKind.DEPLOY,
        release: Release | None = None,
        build: str | None = None,
        until: Step | None = None,
        error: dict[str, str] | None = None,
        running_s: float = 0.0,
    ) -> Deploy:
        """A deploy that ended at `at`, or stands at `until` since `running_s`, or failed there with `error`."""
        steps = steps_of(kind)
        spent = sum(_STORY[step][0] for step in steps if step in _STORY)
        begun = at - timedelta(seconds=spent if until is None else running_s + 1)
        deploy = Deploy(
            id=self.house.ids.new("dep"),
            environment=environment.id,
            kind=kind,
            state=DeployState.QUEUED,
            step=steps[0],
            source_digest="",
            commit=self.commit(change),
            requested_by=change.author.split()[0].lower(),
            requested_at=begun - timedelta(seconds=0.2),
            build=build,
            release=release.id if release else None,
        )
        await deploys.insert(session, deploy)
        target = f"{environment.project}/{environment.name}"
        await audit.record(
            session, at=begun, actor=deploy.requested_by, action=f"deploy.{kind}", target=target,
            details={"deploy": deploy.id, "commit": deploy.commit.sha},
        )  # fmt: skip
        await deploys.activate(session, deploy, at=begun)
        for step, following in zip(steps, (*steps[1:], None), strict=True):
            deploy = await deploys.get(session, deploy.id)
            if step is until and error is None:
                return deploy
            seconds, detail = _STORY.get(step, (0.0, ""))
            begun += timedelta(seconds=seconds if until is None else 0.2)
            if step is until and error is not None:
                await deploys.finish_failed(session, deploy, DeployState.FAILED, error, at=at)
                return deploy
            await deploys.advance(
                session,
                deploy,
                following,
                state=StepState.DONE if step in _STORY else StepState.SKIPPED,
                detail=detail,
                at=begun,
            )
        return deploy

    def commit(self, change: Change) -> Commit:
        """The change as a commit."""
        sha = hashlib.sha1(change.message.encode()).hexdigest()
        return Commit(sha=sha, branch=change.branch, message=change.message, author=change.author)

    async def instance(
        self,
        release: Release,
        slot: int,
        *,
        age: timedelta,
        restarts: int = 0,
        state: str = "healthy",
        process: str = "web",
    ) -> str:
        """An instance with a process, in one of the states that the console tells apart."""
        instance_id, at = self.house.ids.new("ins"), self.now - age
        async with self.house.database.transaction() as session:
            await instances.insert(
                session, instance_id=instance_id, release=release.id, process=process, slot=slot,
                port=self.random.randrange(20_000, 60_000), at=at,
            )  # fmt: skip
            for failures in range(restarts):
                await instances.set_exited(
                    session, instance_id, Exit("ran out of memory: it may hold 512 MB", "memory 512 MB", out_of_memory=True),
                    failures=failures + 1, next_start_at=self.now + timedelta(seconds=20), at=at,
                )  # fmt: skip
            if state != "backing-off":
                await instances.set_started(session, instance_id, at=at)
            if state == "healthy":
                await instances.set_healthy(session, instance_id, at=at + timedelta(seconds=1))
        if state != "backing-off":
            memory_bytes = self.random.randrange(88_000_000, 140_000_000)
            self.house.run(instance_id, memory_bytes=memory_bytes)
            self.house.machine.say(
                instance_id, "▲ Next.js 16.4.0\n✓ Ready in 312ms\nGET / 200 in 14ms\n"
            )
        return instance_id

    async def visitors(self, release: Release) -> None:
        """An hour of requests for paths that the edge's cache may keep."""
        cache = self.house.edge_cache
        await cache.start()
        for number in range(212):
            size = 4_000 + number * 100
            page = StoredAnswer(200, (), b"x" * size, Lifetime(3600), made_s=0.0)
            cache.visit(Key(release.id, "smart-sign", f"/archive/{number}"), page)
            cache.visit(
                Key("another", "landing-page", f"/{number}"), replace(page, body=b"x" * 42_000)
            )
        for what, times in COUNTED.items():
            cache.count(release.id, what, times)

    async def service(self, environment: Environment, kind: ServiceKind) -> None:
        """A database or a cache."""
        async with self.house.database.transaction() as session:
            sealed = self.house.box.seal("service-password")
            name = f"{environment.project}_{environment.name}_{kind}"
            await services.insert(session, Service(environment.id, kind, name, sealed), at=self.now)

    async def variable(self, environment: Environment, name: str, value: str, *, days: int) -> None:
        """A variable that was set some days ago."""
        async with self.house.database.transaction() as session:
            at = self.now - timedelta(days=days)
            sealed = self.house.box.seal(value)
            await variables.put(session, environment.id, name, sealed, at=at, by="ada")


async def seed(house: House, now: datetime) -> dict[str, str]:
    """Two projects; the identities of interesting deploys: `running`, `failed`, `succeeded`, `queued`."""
    seeder = Seeder(house, now)
    production = await seeder.environment("smart-sign", "production", age=timedelta(days=41))
    staging = await seeder.environment("smart-sign", "staging", age=timedelta(days=41))
    await seeder.environment("smart-sign", "development", age=timedelta(hours=2))
    site = await seeder.environment("landing-page", "production", age=timedelta(days=9))

    live = await seeder.release(production, CHANGES[0], ago=timedelta(days=12, hours=3))
    for position, change in enumerate(CHANGES[1:4], start=1):
        live = await seeder.release(
            production,
            change,
            ago=timedelta(days=12 - 3 * position, hours=3),
            cached=("/", "/archive/:page*"),
        )
    await seeder.visitors(live)
    for slot in range(2):
        await seeder.instance(live, slot, age=timedelta(days=3, hours=3))
    await seeder.service(production, ServiceKind.POSTGRES)
    await seeder.service(production, ServiceKind.REDIS)
    for position, name in enumerate(("MAIL_FROM", "SESSION_SECRET", "STRIPE_SECRET_KEY")):
        await seeder.variable(production, name, f"value-of-{name.lower()}", days=3 + 11 * position)

    staged = await seeder.release(staging, CHANGES[0], ago=timedelta(days=10, hours=5))
    for position, change in enumerate(CHANGES[1:5], start=1):
        staged = await seeder.release(
            staging, change, ago=timedelta(days=10 - 2 * position, hours=5)
        )
    await seeder.instance(staged, 0, age=timedelta(days=2))
    await seeder.instance(staged, 1, age=timedelta(minutes=1), restarts=3, state="backing-off")
    await seeder.service(staging, ServiceKind.POSTGRES)

    page = await seeder.release(
        site, Change("New headline and pricing", "Mira Castro"), ago=timedelta(days=9)
    )
    await seeder.instance(page, 0, age=timedelta(days=9))
    return {"succeeded": page.id, **await _under_way(seeder, production, staging)}


async def _under_way(
    seeder: Seeder, production: Environment, staging: Environment
) -> dict[str, str]:
    now, database = seeder.now, seeder.house.database
    error = {
        "kind": "permanent",
        "code": "build.command-failed",
        "message": "next build ended with 1: Module not found: Can't resolve '@/lib/uploads'",
        "hint": "run npm run build in your folder: it fails there too; the log below has the lines before",
        "where": "app/composer/page.tsx:4",
    }
    async with database.transaction() as session:
        request = BuildRequest(seeder.house.ids.new("bld"), "smart-sign", "e" * 64, Path())
        build = await builds.claim(
            session, request, "e" * 64, variables_sealed=seeder.house.variables.seal_all({}), at=now
        )
        failed = await seeder.deploy(
            session, production, CHANGES[4], at=now - timedelta(hours=7), until=Step.BUILD, error=error,
            running_s=18, build=build.id,
        )  # fmt: skip
        running = await seeder.deploy(
            session, staging, CHANGES[5], at=now, until=Step.TEST, running_s=41, build=build.id
        )
    async with database.transaction() as session:
        done = (await deploys.list_for_environment(session, production.id))[-1]
    for task_id, log in ((build.build_task, _BUILD_LOG), (build.test_task, _TEST_LOG)):
        seeder.house.run(task_id)
        seeder.house.machine.say(task_id, log)
    return {"failed": failed.id, "running": running.id, "done": done.id}


async def crowd(
    house: House, now: datetime, *, projects: int, environments: int, deploys: int
) -> None:
    """Many things of each kind: `team-0` has `production`, `staging` and previews, each with so many deploys, an
    instance, a database, a variable and a rollout that is under way."""
    seeder = Seeder(house, now)
    names = ("production", "staging", *(f"preview-{number}" for number in range(environments)))
    for project in range(projects):
        for name in names[:environments]:
            environment = await seeder.environment(
                f"team-{project}", name, age=timedelta(days=deploys)
            )
            made = [
                await seeder.release(
                    environment,
                    CHANGES[number % len(CHANGES)],
                    ago=timedelta(days=deploys - number),
                    cached=("/",),
                )
                for number in range(deploys)
            ]
            await seeder.instance(made[-1], 0, age=timedelta(days=1))
            await seeder.service(environment, ServiceKind.POSTGRES)
            await seeder.variable(environment, "SESSION_SECRET", "correct-horse", days=3)
            candidate = await seeder.canary(
                environment, CHANGES[0], Stage(StageKind.CANARY, 25, 60.0)
            )
            await seeder.instance(candidate, 0, age=timedelta(minutes=1))


_BUILD_LOG = """npm ci
added 312 packages in 9s

> smart-sign@1.8.0 build
> next build

   ▲ Next.js 16.4.0 (Turbopack)

   Creating an optimized production build ...
 ✓ Compiled successfully in 6.1s
   Linting and checking validity of types ...
   Collecting page data ...
 ✓ Generating static pages (24/24)
   Finalizing page optimization ...

Route (app)                          Size  First Load JS
┌ ○ /                             4.2 kB         118 kB
├ ƒ /api/announcements             140 B         102 kB
├ ƒ /screens/[screen]             2.9 kB         114 kB
└ ○ /archive                      3.1 kB         116 kB
"""
_TEST_LOG = """npm test

 RUN  v4.1.0

 ✓ app/announcements/schedule.test.ts (12 tests) 84ms
 ✓ app/screens/feed.test.ts (9 tests) 51ms
 ✓ lib/time-zones.test.ts (17 tests) 33ms
"""
