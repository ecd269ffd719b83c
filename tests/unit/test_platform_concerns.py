"""What the first page says needs attention, and in which order."""

from datetime import timedelta
from typing import Any

import pytest

from gantry.features.crons.model import Run, RunState
from gantry.features.domains.bodies import DomainBody
from gantry.features.platform.bodies import EnvironmentBody, ProjectBody, RefusedDomainBody
from gantry.features.platform.concerns import Concern, FailedCron, Weight, concerns
from gantry.features.rollouts.bodies import CandidateBody
from gantry.features.routes.bodies import ClosedBody
from tests.support.bodies import NOW, deploy, failed, instance, status

_WELL = status().projects[0].environments[0]
_RELEASE = {"release": "rel-03", "release_number": 3}


def _environment(**changes: Any) -> EnvironmentBody:
    return _WELL.model_copy(update=changes)


def _of(*bodies: EnvironmentBody) -> tuple[Concern, ...]:
    project = ProjectBody(name="smart-sign", created_at=NOW, environments=bodies)
    return concerns([project], [], [], NOW)


def _domain(**changes: Any) -> DomainBody:
    values: dict[str, Any] = {
        "host": "shop.example.org",
        "kind": "domain",
        "project": "shop",
        "environment": "production",
        "dns": "here",
        "certificate": "valid",
        "settled": True,
    }
    return DomainBody(**{**values, **changes})


def test_what_is_well_is_no_concern() -> None:
    assert _of(_WELL, _environment(name="staging", live=None, instances=(), deploy=None)) == ()
    assert concerns([], [_domain(), _domain(kind="console", settled=False)], [], NOW) == ()


@pytest.mark.parametrize(
    ("changes", "weight", "sentence", "leads_to"),
    [
        (
            {"instances": (instance(state="unhealthy", message="exited with 1"),)},
            Weight.BAD, "No instance of release 3 is healthy: exited with 1", "#instances",
        ),
        (
            {"instances": (instance(), instance(state="backing-off"), instance(state="unhealthy", message="no answer"))},
            Weight.WARN, "2 of 3 instances are not healthy: no answer", "#instances",
        ),
        (
            {"instances": (instance(restarts=1, restart_reason="memory 512 MB", restarted_at=NOW - timedelta(minutes=3)),)},
            Weight.WARN, "web.0 was restarted 1 time (memory 512 MB)", "#instances",
        ),
        ({"deploy": failed()}, Weight.BAD, "The last deploy failed: npm run build ended with exit code 1", "dep-7kq2m9xw4t"),
        ({"deploy": failed(), "name": "staging"}, Weight.WARN, "The last deploy failed: npm run build ended with exit code 1", "dep-7kq2m9xw4t"),
        (
            {"candidate": CandidateBody(release="rel-04", release_number=4, percent=25, sentence="", state="waiting")},
            Weight.WARN, "The rollout of release 4 waits for approval", "#rollout",
        ),
        ({"closed": ClosedBody(title="Closed", message="Back soon.", allowed=())}, Weight.NOTE, "Closed to visitors: nobody is let through", ""),
        ({"scaled": ("web 3 (gantry.toml: 2)",)}, Weight.NOTE, "Scaled by hand: web 3 (gantry.toml: 2)", "#instances"),
        ({"removing": True, "deploy": failed()}, Weight.NOTE, "Is being destroyed", ""),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(
    changes: dict[str, Any], weight: Weight, sentence: str, leads_to: str
) -> None:
    (found,) = _of(_environment(**changes))
    assert (found.weight, found.sentence, found.deploy or found.part) == (
        weight,
        sentence,
        leads_to,
    )
    assert found.project == "smart-sign"


@pytest.mark.parametrize(
    "changes",
    [
        # A restart longer ago, one of a release that only is kept, what is on its way, and a rollout that goes on.
        {"instances": (instance(restarts=4, restarted_at=NOW - timedelta(days=2)),)},
        {"instances": (instance(), instance(release="rel-02", state="unhealthy"))},
        {"instances": (instance(), instance(state="stopping"), instance(state="starting"))},
        {"candidate": CandidateBody(release="rel-04", release_number=4, percent=25, sentence="")},
        {"deploy": deploy("cancelled")},
    ],
)
def test_what_passes_by_itself_is_none(changes: dict[str, Any]) -> None:
    assert _of(_environment(**changes)) == ()


def test_a_site_without_instances_is_well() -> None:
    assert _WELL.live is not None
    static = _WELL.live.model_copy(update={"framework": "static"})
    assert _of(_environment(live=static, instances=())) == ()
    assert _of(_environment(instances=()))[0].weight is Weight.BAD


def test_names_and_crons_are_among_them_and_what_visitors_notice_comes_first() -> None:
    refused = RefusedDomainBody(domain="a.example.org", project="other", environment="staging")
    bodies = (
        _environment(name="staging", deploy=failed()),
        _environment(refused_domains=(refused,), scaled=("web 3 (gantry.toml: 2)",)),
    )
    domains = [
        _domain(
            dns="missing", certificate="pending", settled=False, advice=("make a record", "wait")
        ),
        _domain(certificate="pending", settled=False),
        _domain(environment="staging", certificate="expired", settled=False),
    ]
    run = Run(
        "env-1",
        "tidy",
        NOW,
        "cron-env-1-tidy-1",
        RunState.FAILED,
        detail="exited with 1",
        finished_at=NOW,
    )
    project = ProjectBody(name="smart-sign", created_at=NOW, environments=bodies)
    found = concerns([project], domains, [FailedCron("shop", "production", run)], NOW)
    assert [(item.weight, item.environment, item.subject, item.sentence) for item in found] == [
        ("bad", "production", "shop.example.org", "make a record"),
        ("warn", "production", "", refused.sentence),
        ("warn", "production", "shop.example.org", "shop.example.org is not ready yet"),
        ("warn", "production", "cron tidy", "The last run failed: exited with 1"),
        ("warn", "staging", "", "The last deploy failed: npm run build ended with exit code 1"),
        ("warn", "staging", "shop.example.org", "shop.example.org is not ready yet"),
        ("note", "production", "", "Scaled by hand: web 3 (gantry.toml: 2)"),
    ]
    assert found[3].part == "/crons/tidy"
