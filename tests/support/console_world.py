"""A platform on which every page of the console has something of each kind to show, long names among them."""

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gantry.engines.dns.protocol import Records
from gantry.engines.edge.protocol import LoggedRequest
from gantry.features.accounts.model import Caller, Role
from gantry.features.certificates import store as certificates
from gantry.features.certificates.model import ACME, LOCAL, StoredCertificate
from gantry.features.crons import store as crons
from gantry.features.crons.model import Run as CronRun, RunState as CronState, run_at
from gantry.features.deploys.model import Deploy, DeployKind, Step
from gantry.features.domains.rules import Machine
from gantry.features.maintenance import MaintenanceRequest, MaintenanceService
from gantry.features.projects.model import Environment
from gantry.features.releases.model import Release
from gantry.features.rollouts import store as rollouts
from gantry.features.rollouts.model import Stage, StageKind
from gantry.features.runs import store as runs
from gantry.features.runs.model import Program, Run, RunState
from gantry.features.scales import ScaleRequest, ScaleService
from gantry.features.services.model import ServiceKind
from tests.fakes.dns import FakeResolver
from tests.support.console_seed import CHANGES, Change, Seeder, seed
from tests.support.verdict import STORED_EVIDENCE, STORED_VERDICT
from tests.support.web import House

PROJECT = "neighbourhood-noticeboard-for-tenants"
PREVIEW = "preview-of-the-archive"
_HERE, _ELSEWHERE = "203.0.113.7", "198.51.100.23"
_DOMAINS = (
    "www.noticeboard.example.org",
    "notices.communities-of-the-old-town.example.com",
    "soon.example.net",
)
_LONG = Change(
    "Keep announcements that were scheduled for a day on which the clocks change, and show them in the time zone of the "
    "community rather than of whoever wrote them\n\nThe archive keeps both.",
    "Wilhelmina van den Heuvel-Oppenheimer",
    "feature/announcements-with-images-and-captions-for-lobby-screens",
)
_MANIFEST = {
    "project": {"name": PROJECT},
    "domains": list(_DOMAINS),
    "processes": {
        "web": {"command": "npm start", "instances": 2},
        "worker": {"mail": {"command": "node workers/mail.mjs"}},
        "cron": {
            "tidy": {"command": "node scripts/tidy.mjs --older-than 90 --quiet", "schedule": "*/15 * * * *"},
            "weekly-digest-for-every-community": {"path": "/api/cron/digest", "schedule": "@weekly", "overlap": "queue"},
            "never-yet": {"command": "true", "schedule": "0 3 1 1 *"},
        },
    },
}  # fmt: skip
_BROKEN = {
    "kind": "permanent",
    "code": "instance.unhealthy",
    "message": "web did not become healthy within 60 s: it listens on port 4567 and not on $PORT",
    "hint": "let it listen on process.env.PORT, then: gantry deploy",
    "where": "processes.web",
    "last_lines": "> notices@2.0.1 start\n> node server.js\n\nlistening on http://0.0.0.0:4567\n"
    + "x" * 300,
}


@dataclass(frozen=True, slots=True)
class World:
    """Where the interesting pages are.

    Attributes:
        deploys: `running`, `failed`, `done`, `broken`, `rolling`, `redeployed`, `restarted`, `returned`, `promoted`: identities.
    """

    deploys: dict[str, str]


async def furnish(house: House, now: datetime) -> World:
    """Fill a platform with everything."""
    ids = await seed(house, now)
    seeder = Seeder(house, now, 8)
    production = await seeder.environment(PROJECT, "production", age=timedelta(days=70))
    preview = await seeder.environment(PROJECT, PREVIEW, age=timedelta(days=3))
    live = await _releases(seeder, production)
    first = await seeder.release(preview, _LONG, ago=timedelta(days=2))
    await seeder.instance(first, 0, age=timedelta(days=2))
    deploys = await _deploys(seeder, production, preview, live)
    candidate = await seeder.canary(
        production,
        CHANGES[1],
        Stage(StageKind.MIRROR, 0, 120.0),
        Stage(StageKind.CANARY, 25, 300.0),
    )
    await _instances(seeder, production, live, candidate)
    deploys["rolling"] = await _rolled_out(seeder, production)
    await _crons(seeder, production, live)
    await _runs(seeder, production, live)
    await _names(seeder)
    _requests(seeder, live)
    await _people(seeder)
    return World(ids | deploys)


async def _releases(seeder: Seeder, production: Environment) -> Release:
    for number in range(12):
        await seeder.release(
            production, CHANGES[number % len(CHANGES)], ago=timedelta(days=60 - 4 * number)
        )
    return await seeder.release(production, _LONG, ago=timedelta(hours=5), manifest=_MANIFEST)


async def _instances(
    seeder: Seeder, production: Environment, live: Release, candidate: Release
) -> None:
    async with seeder.house.database.transaction() as session:
        rows = await session.rows(
            "SELECT id FROM releases WHERE environment = %(id)s AND number = 12",
            {"id": production.id},
        )
        await session.execute(
            "UPDATE releases SET state = 'running' WHERE id = %(id)s", {"id": rows[0]["id"]}
        )
    warm = replace(live, id=rows[0]["id"])
    for slot in range(2):
        await seeder.instance(live, slot, age=timedelta(hours=5))
        await seeder.instance(warm, slot, age=timedelta(days=4))
    await seeder.instance(live, 0, age=timedelta(hours=5), process="worker.mail", restarts=2)
    await seeder.instance(candidate, 0, age=timedelta(minutes=3))
    for kind in (ServiceKind.POSTGRES, ServiceKind.REDIS):
        await seeder.service(production, kind)
    names = (
        "DATABASE_POOL_SIZE",
        "A_VERY_LONG_NAME_FOR_THE_ADDRESS_OF_THE_OBJECT_STORE_OF_PICTURES",
        "SESSION_SECRET",
    )
    for number, name in enumerate(names):
        await seeder.variable(production, name, f"value-of-{name.lower()}", days=number * 9)


async def _rolled_out(seeder: Seeder, production: Environment) -> str:
    async with seeder.house.database.transaction() as session:
        (record,) = await rollouts.list_newest(session, (production.id,))
        await session.execute(
            "UPDATE rollouts SET verdict = %(verdict)s, evidence = %(evidence)s WHERE id = %(id)s",
            {
                "id": record.rollout.id,
                "verdict": json.dumps(STORED_VERDICT),
                "evidence": json.dumps(STORED_EVIDENCE),
            },
        )
    return record.rollout.deploy


async def _deploys(
    seeder: Seeder, production: Environment, preview: Environment, live: Release
) -> dict[str, str]:
    made: dict[str, Deploy] = {}
    async with seeder.house.database.transaction() as session:
        for name, kind in (
            ("redeployed", DeployKind.REDEPLOY),
            ("restarted", DeployKind.RESTART),
            ("returned", DeployKind.ROLLBACK),
            ("promoted", DeployKind.PROMOTE),
        ):
            at = seeder.now - timedelta(hours=9 + len(made))
            made[name] = await seeder.deploy(
                session, production, CHANGES[0], at=at, kind=kind, release=live, build=live.build
            )
        made["broken"] = await seeder.deploy(
            session, preview, _LONG, at=seeder.now - timedelta(minutes=50), until=Step.HEALTHY,
            error=_BROKEN, running_s=61, build=live.build,
        )  # fmt: skip
    return {name: deploy.id for name, deploy in made.items()}


async def _crons(seeder: Seeder, production: Environment, live: Release) -> None:
    async with seeder.house.database.transaction() as session:
        for number in range(30):
            at = seeder.now - timedelta(minutes=15 * number)
            run = replace(run_at(production.id, "tidy", at), release=live.id)
            skipped = "the run before it still ran" if number == 4 else ""
            assert await crons.claim(session, run, skipped=skipped, at=at)
            if number and not skipped:
                state, detail = (
                    (CronState.FAILED, "exited with 1")
                    if number % 7 == 1
                    else (CronState.SUCCEEDED, "")
                )
                await crons.set_ended(
                    session, run, state, detail=detail, at=at + timedelta(seconds=3.2 + number)
                )
            _output(seeder, run, number)
        asked = run_at(
            production.id, "weekly-digest-for-every-community", seeder.now, asked_by="ada"
        )
        assert await crons.claim(session, asked, skipped="", at=seeder.now)


def _output(seeder: Seeder, run: CronRun, number: int) -> None:
    if number < 3:
        seeder.house.run(run.process_id)
        text = "".join(f"removed {line * 3} of {line * 40} announcements\n" for line in range(1, 9))
        seeder.house.machine.say(
            run.process_id, text if number else "looking for old announcements\n"
        )


async def _runs(seeder: Seeder, production: Environment, live: Release) -> None:
    commands = (
        (
            "node scripts/seed.mjs --communities 12 --announcements-for-each 400 --language en,nl,de",
            0,
            "",
        ),
        ("psql", 0, ""),
        ("npx prisma migrate resolve --applied 20261101_add_pins", 1, "exited with 1"),
        ("bash", None, ""),
    )
    async with seeder.house.database.transaction() as session:
        for number, (command, code, detail) in enumerate(commands):
            at = seeder.now - timedelta(minutes=40 - 12 * number)
            run = Run(
                id=seeder.house.ids.new("run"), environment=production.id, release=live.id,
                release_number=live.number, program=Program.COMMAND, command=command, terminal=number == 3,
                detached=number == 0, read_only=False, timeout_s=3600, requested_by="ada", origin="192.0.2.7",
                state=RunState.WAITING, created_at=at,
            )  # fmt: skip
            await runs.insert(session, run)
            await runs.set_running(session, run.id, at=at)
            if code is not None:
                await runs.set_ended(
                    session, run.id, exit_code=code, detail=detail, at=at + timedelta(seconds=41)
                )


async def _names(seeder: Seeder) -> None:
    """One name leads here, one elsewhere, one nowhere."""
    house, domains = seeder.house, seeder.house.platform.domains
    zone = {
        _DOMAINS[0]: Records(_DOMAINS[0], (_HERE, "2001:db8:5a1e:77::c0ff:ee:4242")),
        _DOMAINS[1]: Records(
            _DOMAINS[1], (_ELSEWHERE,), alias="noticeboard.hosted-elsewhere.example.net"
        ),
    }
    domains.resolver = FakeResolver(house.machine, zone=zone)
    addresses = frozenset({_HERE, "2001:db8:5a1e:77::c0ff:ee:4242"})
    domains.machine = lambda: Machine(addresses, (_HERE,), "localhost", open=True, is_local=True)
    async with house.database.transaction() as session:
        await certificates.put(
            session,
            StoredCertificate(
                _DOMAINS[0], (_DOMAINS[0],), ACME, _signed(seeder.now), house.box.seal("key"),
                seeder.now - timedelta(days=20), seeder.now + timedelta(days=70),
            ),
        )  # fmt: skip
        await certificates.put(
            session,
            StoredCertificate(
                LOCAL, ("*.localhost",), LOCAL, _signed(seeder.now, "Gantry on this machine"), house.box.seal("key"),
                seeder.now - timedelta(days=2), seeder.now + timedelta(days=28),
            ),
        )  # fmt: skip
        await certificates.put_failure(
            session, _DOMAINS[1], code="certificate.refused", at=seeder.now - timedelta(hours=1),
            message=f"the authority asked {_ELSEWHERE}, which answered 404 to its challenge",
        )  # fmt: skip
    await domains.once()


def _signed(now: datetime, by: str = "An Authority") -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, by)])
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=90))
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    return made.public_bytes(serialization.Encoding.PEM).decode()


def _requests(seeder: Seeder, live: Release) -> None:
    paths = (
        "/",
        "/communities/12/announcements",
        "/api/announcements?x=1",
        "/screens/lobby-of-the-old-town-hall-third-floor-east",
    )
    for number in range(80):
        status, flags, details = (
            (503, "UF,URX", "upstream_reset_before_response_started")
            if number % 29 == 28
            else (404, "", "via_upstream")
            if number % 13 == 12
            else (200, "", "via_upstream")
        )
        seeder.house.machine.requests.append(
            LoggedRequest(
                at=seeder.now - timedelta(seconds=31 * (80 - number)), host=_DOMAINS[0],
                method="POST" if number % 5 == 4 else "GET", path=paths[number % len(paths)].partition("?")[0],
                status=status, flags=flags, details=details, duration_ms=(number * 37) % 900 + 4,
                size_bytes=2_048, release=live.id, cache="hit" if number % 3 else "", attempts=1,
                request_id=f"q-{number}",
            )
        )  # fmt: skip


async def _people(seeder: Seeder) -> None:
    """What people did by hand, through the services that they use."""
    house, ada = seeder.house, Caller("ada", Role.OWNER)
    for label, role, days in (
        ("ci", Role.DEVELOPER, 90),
        ("wall screen in the kitchen", Role.VIEWER, 365),
        ("laptop of Wilhelmina van den Heuvel-Oppenheimer, second floor", Role.OWNER, 3),
    ):
        await house.accounts.api_token(label=label, role=role, days=days, by=ada)
    maintenance = MaintenanceService(house.database, house.clock, house.services.wake)
    await maintenance.begin("landing-page", "production", MaintenanceRequest(), by="jonas")
    scales = ScaleService(house.database, house.clock, lambda: 16_000_000_000, house.services.wake)
    await scales.set(PROJECT, "production", ScaleRequest(counts={"web": 3}), by="ada")
    await house.variables.change(
        PROJECT, "production", put={"FEATURE_PINS": "on"}, remove=("SESSION_SECRET",), by="mira"
    )
