"""What the edge is told, from environments, releases and instances."""

from dataclasses import replace

import pytest

from gantry.config.load import load_manifest
from gantry.engines.assets.protocol import of_build, of_scope
from gantry.engines.edge.checks import check
from gantry.engines.edge.protocol import ASSETS, Assets, EdgeConfig, Limit, Redirect, Rules, Site
from gantry.features.assets.model import ServedAssets
from gantry.features.projects.host_names import HostNames
from gantry.features.projects.model import Environment
from gantry.features.releases.model import ReleaseState
from gantry.features.rollouts.model import Rollout, RolloutState, Stage, StageKind
from gantry.features.routes.render import Routed, Routes, domains, hosts, refused, render
from tests.support.names import BAD
from tests.support.stories import at, instance, release

NAMING = HostNames("apps.example.net", 443)


def routed(project: str, *names: str, created_s: float = 0.0, live: bool = True) -> Routed:
    """A release of `project` in production that claims the domains `names`."""
    quoted = ", ".join(f'"{name}"' for name in names)
    text = f'[project]\nname = "{project}"\n[environments.production]\ndomains = [{quoted}]\n'
    release_id = f"r-{project}{'' if live else '-old'}"
    environment = Environment(
        f"env-{project}", project, "production", f"r-{project}", 1, at(created_s)
    )
    return Routed(
        release(release_id, environment=environment.id, build=f"b-{project}"),
        environment,
        load_manifest(text).for_environment("production"),
        (instance(id=f"i-{release_id}", release=release_id),),
    )


def routes(*items: Routed) -> Routes:
    environments = {item.environment.id: item.environment for item in items}
    return Routes(NAMING, "/run/api.sock", tuple(environments.values()), items)


def sites(found: Routes) -> dict[str, str | None]:
    """Host -> backend."""
    config = render(found, (), {})
    return {host: site.backend for site in config.sites for host in site.hosts}


def test_a_domain_leads_to_the_live_release() -> None:
    found = sites(routes(routed("shop", "shop.org", "www.shop.org")))
    assert found["shop.org"] == found["www.shop.org"] == "r-shop"
    assert found["shop.apps.example.net"] == "r-shop"
    assert found["r-shop--shop.apps.example.net"] == "r-shop"


def test_of_two_who_claim_a_domain_the_older_keeps_it() -> None:
    both = routes(routed("young", "shop.org", created_s=9), routed("old", "shop.org", "b.org"))
    assert sites(both)["shop.org"] == "r-old"
    assert sorted(domains(both)) == ["b.org", "shop.org"]


def test_nobody_claims_a_name_of_the_platform() -> None:
    greedy = routes(routed("greedy", "gantry.apps.example.net", "apps.example.net"))
    assert sites(greedy)["gantry.apps.example.net"] == "console"
    assert domains(greedy) == ()


def test_every_host_is_named_once() -> None:
    old = routed("shop", "shop.org", live=False)
    config = render(routes(routed("shop", "shop.org"), old), (), {})
    names = [host for site in config.sites for host in site.hosts]
    assert len(names) == len(set(names))


def of_another_time(project: str, *, created_s: float, environment: str = "production") -> Routed:
    """A release of a project whose name no present version would take."""
    item = routed("another", created_s=created_s)
    found = replace(item.environment, id=f"env-of-{project}", project=project, name=environment)
    found = replace(found, live_release=f"r-of-{project}")
    return replace(
        item,
        environment=found,
        release=replace(item.release, id=f"r-of-{project}", environment=found.id),
        instances=(instance(id=f"i-of-{project}", release=f"r-of-{project}"),),
    )


def staging_of_shop() -> Routed:
    live = routed("shop", created_s=5)
    environment = replace(live.environment, id="env-staging", name="staging", live_release="r-s")
    made = replace(live.release, id="r-s", environment="env-staging", build="b-s")
    return replace(live, environment=environment, release=made)


def site_at(config: EdgeConfig, host: str) -> Site:
    (found,) = [site for site in config.sites if host in site.hosts]
    return found


@pytest.mark.parametrize("name", [*BAD, "r-s--shop", "b-shop--shop", "staging--shop"])
@pytest.mark.parametrize("created_s", [0.0, 9.0], ids=["older", "younger"])
def test_a_bad_name_changes_nothing_for_others(name: str, created_s: float) -> None:
    others = (routed("shop", "shop.org", created_s=5), staging_of_shop())
    before = render(routes(*others), (), {})
    both = routes(*others, of_another_time(name, created_s=created_s))
    config = render(both, (), {})
    check(config)
    assert {host for site in before.sites for host in site.hosts} <= set(hosts(both)) | {"shop.org"}
    for site in before.sites:
        assert site_at(config, site.hosts[0]) == site
    assert len(hosts(both)) == len(set(hosts(both)))
    assert all(NAMING.can_answer(host) for host in hosts(both))


def test_of_two_who_would_have_one_address_the_right_name_has_it_then_the_older() -> None:
    a_of_shop = of_another_time("shop", created_s=9, environment="a")
    both = routes(of_another_time("a--shop", created_s=1), a_of_shop)
    check(render(both, (), {}))
    assert [claim.project for claim in refused(both)] == ["a--shop"]
    assert site_at(render(both, (), {}), "a--shop.apps.example.net").backend == "r-of-shop"
    # Both wrong.
    young = of_another_time("b--shop", created_s=9, environment="a")
    both = routes(young, of_another_time("a--b--shop", created_s=1))
    check(render(both, (), {}))
    assert [claim.project for claim in refused(both)] == ["b--shop"]
    assert site_at(render(both, (), {}), "a--b--shop.apps.example.net").backend == "r-of-a--b--shop"


def test_what_is_refused_is_reported() -> None:
    both = routes(routed("shop"), of_another_time("gantry", created_s=0))
    assert [(claim.host, claim.project) for claim in refused(both)] == [
        ("gantry.apps.example.net", "gantry")
    ]
    assert refused(routes(routed("shop"))) == ()


def test_files_of_kept_builds_come_from_the_asset_store() -> None:
    old = routed("shop", live=False)
    found = routes(routed("shop"), old)
    build, environment = old.release.build, old.environment.id
    assert render(found, (), {}).sites[1].assets is None
    served = ServedAssets(
        {build: ("/assets",), "b-older": ("/static",)}, {environment: (build, "b-older")}
    )
    config = render(replace(found, assets=served, assets_socket="/run/a.sock"), (), {})
    of_host = {host: site.assets for site in config.sites for host in site.hosts}
    assert of_host["shop.apps.example.net"] == Assets(of_scope(environment), ("/assets", "/static"))
    assert of_host["r-shop--shop.apps.example.net"] == Assets(of_build(build), ("/assets",))
    assert of_host["gantry.apps.example.net"] is None
    assert [one.endpoints[0].socket for one in config.backends if one.name == ASSETS] == [
        "/run/a.sock"
    ]


# A quarter of the visitors of `shop` get a candidate.
ROLLOUT = Rollout(
    id="ro-1",
    deploy="dep-1",
    environment="env-shop",
    candidate="r-next",
    current="r-shop",
    stages=(Stage(StageKind.CANARY, 25, 60.0),),
    stage=0,
    state=RolloutState.RUNNING,
    approval=False,
    cookie_key="key",
    started_at=at(0),
    stage_started_at=at(0),
)


def in_a_rollout(build: str) -> Routes:
    """`r-next`, of `build`, is the candidate; `r-shop-old` runs on for its pages."""
    live, old = routed("shop"), routed("shop", live=False)
    old = replace(old, release=replace(old.release, build="b-old"))
    candidate = replace(
        live,
        release=replace(live.release, id="r-next", build=build, created_at=at(9)),
        instances=(instance(id="i-next", release="r-next"),),
    )
    deployments = {"b-shop": "dpl-shop", "b-old": "dpl-old", "b-next": "dpl-next"}
    found = replace(routes(live, old, candidate), deployments=deployments)
    return replace(found, rollouts={"env-shop": ROLLOUT})


def site_of(found: Routes, host: str = "shop.apps.example.net") -> Site:
    (site,) = [one for one in render(found, (), {}).sites if host in one.hosts]
    return site


def pins(found: Routes) -> dict[str, str]:
    """Deployment id -> backend, of the environment's site."""
    return {pin.deployment: pin.backend for pin in site_of(found).pins}


def test_pages_of_each_build_get_their_own_release() -> None:
    assert pins(in_a_rollout("b-next")) == {
        "dpl-old": "r-shop-old",
        "dpl-shop": "r-shop",
        "dpl-next": "r-next",
    }


def test_where_both_releases_of_a_rollout_are_of_one_build_the_visitor_counts() -> None:
    assert pins(in_a_rollout("b-shop")) == {"dpl-old": "r-shop-old"}
    assert pins(replace(in_a_rollout("b-shop"), rollouts={})) == {
        "dpl-old": "r-shop-old",
        "dpl-shop": "r-shop",
    }


RULED = """
[project]
name = "shop"
[routes]
cache = ["/c"]
redirects = [{ source = "/a", destination = "/b" }]
[environments.production]
"""


def test_a_candidate_s_visitors_get_its_rules_where_they_differ() -> None:
    same = in_a_rollout("b-next")
    of_environment = site_of(same)
    assert of_environment.canary is not None
    assert of_environment.canary.rules is None
    live, old, candidate = same.routed
    ruled = replace(candidate, manifest=load_manifest(RULED).for_environment("production"))
    different = replace(same, routed=(live, old, ruled), cache_socket="/run/cache.sock")
    of_environment = site_of(different)
    assert of_environment.canary is not None
    redirects = (Redirect("/a", "/b", 308),)
    assert of_environment.canary.rules == Rules(redirects=redirects, cached=("/c",))
    assert (of_environment.redirects, of_environment.cached) == ((), ())
    assert site_of(different, "r-next--shop.apps.example.net").redirects == redirects


def test_what_has_no_live_release_says_so() -> None:
    item = routed("shop")
    nothing = replace(item.environment, live_release=None)
    found = Routes(NAMING, "/run/api.sock", (nothing,), ())
    assert sites(found)["shop.apps.example.net"] is None
    assert hosts(found) == ("gantry.apps.example.net", "shop.apps.example.net")


def test_a_retired_release_has_no_address() -> None:
    item = routed("shop", live=False)
    retired = replace(item, release=replace(item.release, state=ReleaseState.RETIRED))
    assert "r-shop-old--shop.apps.example.net" not in sites(routes(retired))


def test_a_sites_limits_are_those_of_its_live_release() -> None:
    rules = (
        '[project]\nname = "shop"\n[[routes.limits]]\nsource = "/api/:path*"\nrate = "100/minute"\n'
        '[[routes.limits]]\nsource = "/login"\nrate = "5/hour"\nburst = 2\nper = "cookie sid"\nstatus = 503\n'
    )
    item = replace(routed("shop"), manifest=load_manifest(rules).for_environment("production"))
    config = render(routes(item), (), {})
    expected = (
        Limit("/api/:path*", requests=100, period_s=60, burst=100),
        Limit("/login", requests=5, period_s=3_600, burst=2, per="cookie", name="sid", status=503),
    )
    assert next(site.limits for site in config.sites if site.backend == "r-shop") == expected
    assert all(not site.limits for site in config.sites if site.backend == "console")
