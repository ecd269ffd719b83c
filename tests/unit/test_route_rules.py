"""What the edge is told, from environments, releases and instances."""

from dataclasses import replace

from gantry.config.load import load_manifest
from gantry.engines.assets.protocol import of_build, of_scope
from gantry.engines.edge.protocol import ASSETS, Assets
from gantry.features.projects.model import Environment
from gantry.features.projects.naming import Naming
from gantry.features.releases.model import ReleaseState
from gantry.features.routes.render import Routed, Routes, domains, hosts, render
from gantry.features.routes.served import ServedAssets
from tests.support.stories import at, instance, release

NAMING = Naming("apps.example.net", 443)


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
