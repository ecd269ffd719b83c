"""What somebody should look at: a pure reading of everything that is known at a glance."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from gantry.features.crons.model import Run
from gantry.features.domains.bodies import DomainBody
from gantry.features.domains.model import CertificateState, DnsState, NameKind
from gantry.features.platform.bodies import EnvironmentBody, ProjectBody
from gantry.features.projects.model import PRODUCTION
from gantry.kernel.units import counted

# A restart longer ago is history.
_RESTART_AGE = timedelta(days=1)
_BROKEN = (CertificateState.FAILED, CertificateState.EXPIRED)


class Weight(StrEnum):
    """How much something matters."""

    BAD = "bad"  # visitors notice, or soon will
    WARN = "warn"  # something did not work, or waits for somebody
    NOTE = "note"  # on purpose, and easily forgotten


@dataclass(frozen=True, slots=True, kw_only=True)
class Concern:
    """Something that somebody should look at.

    Attributes:
        project, environment: where; both empty where it is of the whole platform.
        subject: what it is of there: `cron tidy`, a domain; empty for the environment itself.
        part: of the environment's page, such as `/crons/tidy`; empty for the page itself.
        deploy: the deploy whose page says more; empty for none.
        at: since when, where that is known.
    """

    weight: Weight
    sentence: str
    project: str = ""
    environment: str = ""
    subject: str = ""
    part: str = ""
    deploy: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class FailedCron:
    """The newest run of a live release's scheduled command, which failed."""

    project: str
    environment: str
    run: Run


def concerns(
    projects: Iterable[ProjectBody],
    domains: Iterable[DomainBody],
    crons: Iterable[FailedCron],
    now: datetime,
) -> tuple[Concern, ...]:
    """What to look at, what matters most first."""
    found = [
        concern
        for project in projects
        for body in project.environments
        for concern in _of_environment(body, now)
    ]
    found += [concern for domain in domains for concern in _of_domain(domain)]
    found += [_of_cron(cron) for cron in crons]
    order = list(Weight)
    found.sort(key=lambda item: (order.index(item.weight), item.environment != PRODUCTION))
    return tuple(found)


def _of_environment(body: EnvironmentBody, now: datetime) -> Iterator[Concern]:
    def concern(
        weight: Weight,
        sentence: str,
        *,
        part: str = "",
        deploy: str = "",
        at: datetime | None = None,
    ) -> Concern:
        return Concern(
            weight=weight,
            sentence=sentence,
            project=body.project,
            environment=body.name,
            part=part,
            deploy=deploy,
            at=at,
        )

    if body.removing:
        yield concern(Weight.NOTE, "Is being destroyed")
        return
    yield from (
        concern(weight, sentence, part="#instances", at=at)
        for weight, sentence, at in _of_instances(body, now)
    )
    deploy = body.deploy
    if deploy is not None and deploy.state == "failed":
        weight = Weight.BAD if body.name == PRODUCTION else Weight.WARN
        why = deploy.error.message if deploy.error else f"at {deploy.step}"
        yield concern(
            weight, f"The last {deploy.kind} failed: {why}", deploy=deploy.id, at=deploy.finished_at
        )
    candidate = body.candidate
    if candidate is not None and candidate.state in ("paused", "waiting"):
        waits = "is paused" if candidate.state == "paused" else "waits for approval"
        yield concern(
            Weight.WARN,
            f"The rollout of release {candidate.release_number} {waits}",
            part="#rollout",
        )
    for refused in body.refused_domains:
        yield concern(Weight.WARN, refused.sentence)
    if body.closed is not None:
        yield concern(Weight.NOTE, f"Closed to visitors: {body.closed.sentence}")
    if body.scaled:
        yield concern(Weight.NOTE, f"Scaled by hand: {', '.join(body.scaled)}", part="#instances")


def _of_instances(
    body: EnvironmentBody, now: datetime
) -> Iterator[tuple[Weight, str, datetime | None]]:
    live = body.live
    if live is None:
        return
    serving = [
        item for item in body.instances if item.release == live.id and item.state != "stopping"
    ]
    ill = [item for item in serving if item.state not in ("healthy", "starting")]
    why = next((f": {item.message}" for item in ill if item.message), "")
    if live.framework != "static" and not any(item.state == "healthy" for item in serving):
        yield Weight.BAD, f"No instance of release {live.number} is healthy{why}", None
    elif ill:
        some = f"{len(ill)} of {counted(len(serving), 'instance')}"
        yield Weight.WARN, f"{some} {'is' if len(ill) == 1 else 'are'} not healthy{why}", None
    for item in serving:
        # One that is not healthy was said already, with its reason.
        if item in ill or item.restarted_at is None or now - item.restarted_at > _RESTART_AGE:
            continue
        reason = f" ({item.restart_reason})" if item.restart_reason else ""
        times = f"restarted {counted(item.restarts, 'time')}{reason}"
        yield Weight.WARN, f"{item.process}.{item.slot} was {times}", item.restarted_at


def _of_domain(domain: DomainBody) -> Iterator[Concern]:
    if domain.settled or domain.kind != NameKind.DOMAIN:
        return
    broken = domain.certificate in _BROKEN or domain.dns in (DnsState.ELSEWHERE, DnsState.MISSING)
    yield Concern(
        weight=Weight.BAD if broken and domain.environment == PRODUCTION else Weight.WARN,
        sentence=domain.advice[0] if domain.advice else f"{domain.host} is not ready yet",
        project=domain.project,
        environment=domain.environment,
        subject=domain.host,
    )


def _of_cron(cron: FailedCron) -> Concern:
    run = cron.run
    return Concern(
        weight=Weight.WARN,
        sentence=f"The last run failed: {run.detail or 'no reason is known'}",
        project=cron.project,
        environment=cron.environment,
        subject=f"cron {run.cron}",
        part=f"/crons/{run.cron}",
        at=run.finished_at,
    )
