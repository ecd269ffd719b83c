"""What smoke checks make of redirects: those of the edge say nothing of the product."""

import pytest

from gantry.config.load import load_manifest
from gantry.engines.probes.protocol import ProbeResult
from gantry.features.probes.public import PublicProbe
from gantry.features.projects.host_names import HostNames
from gantry.features.projects.model import Environment
from tests.fakes.probes import FakeProber
from tests.support.stories import T0, release

NAMING = HostNames("localhost", 8443)
MANIFEST = load_manifest('[project]\nname = "shop"\n[processes.web]\nsmoke = ["/old"]\n')
RELEASE = release(manifest=MANIFEST.model_dump(mode="json"))
HOST = NAMING.release_host("shop", RELEASE.id)


def _site(pages: dict[str, tuple[int, str]]) -> FakeProber:
    """Pages by path: status, and where it leads."""

    def answer(url: str, host: str) -> ProbeResult:
        assert host == HOST
        path = url.removeprefix("https://127.0.0.1:8443")
        status, location = pages.get(path, (404, ""))
        headers = {"x-gantry-release": RELEASE.id}
        return ProbeResult(
            status, 0.01, headers=headers | ({"location": location} if location else {})
        )

    return FakeProber(answer)


@pytest.mark.parametrize(
    ("pages", "fails"),
    [
        ({"/old": (308, "/new"), "/new": (200, "")}, ""),
        ({"/old": (308, "/new?a=1"), "/new?a=1": (200, "")}, ""),
        ({"/old": (308, f"https://{HOST}:8443/new"), "/new": (503, "")}, "/old: status 503"),
        ({"/old": (307, "new"), "/new": (500, "")}, "/old: status 500"),
        ({"/old": (302, "https://elsewhere.example/login")}, ""),
        ({"/old": (302, "/old")}, ""),
        ({"/old": (302, "/a"), "/a": (302, "/old")}, ""),
        ({"/old": (302, "https://[broken")}, ""),
        ({"/old": (302, "")}, ""),
        ({"/old": (200, "/new")}, ""),
    ],
)
async def test_a_smoke_check_follows_redirects_on_its_own_host(
    pages: dict[str, tuple[int, str]], fails: str
) -> None:
    smoke = await PublicProbe(_site(pages), NAMING, "127.0.0.1").smoke("shop", RELEASE)
    assert smoke.failures == ((fails,) if fails else ())


@pytest.mark.parametrize(
    ("location", "fails"),
    [
        ("https://localhost:22771/", True),
        ("http://127.0.0.1:22771/x", True),
        ("http://0.0.0.0:3000/", True),
        ("https://[::1]:22771/", True),
        ("//localhost/a", True),
        (f"https://{HOST}:22771/new", True),
        (f"https://{HOST}:8443/new", False),
        (f"https://{HOST}/new", False),
        (f"http://{HOST}:8443/new", True),
        (f"http://{HOST}:8080/new", False),
        ("https://other.localhost:8443/", False),
        ("https://10.0.0.1/", False),
        ("https://[broken", False),
        ("localhost", False),
    ],
)
async def test_a_redirect_to_where_the_product_listens_is_no_answer_for_visitors(
    location: str, *, fails: bool
) -> None:
    pages = {"/old": (307, location), "/localhost": (200, ""), "/new": (200, "")}
    probe = PublicProbe(_site(pages), NAMING, "127.0.0.1")
    (smoke,) = (await probe.smoke("shop", RELEASE)).failures or ("",)
    assert smoke.startswith(f"/old: leads visitors to {location}" if fails else "")
    assert bool(smoke) == fails


PATIENT = 'processes.web.health = { path = "/health", timeout = "40s", start_deadline = "2m" }'


@pytest.mark.parametrize(
    ("manifest", "path", "takes_s", "reached"),
    [
        ("", "/", 4.9, True),
        ("", "/", 5.1, False),
        ('processes.web.health.path = "/health"', "/health", 4.9, True),
        (PATIENT, "/health", 39.0, True),
        (PATIENT, "/health", 41.0, False),
        ('processes.web.health.path = ""', "/", 4.9, True),
        ("processes.web = false", "/", 4.9, True),
    ],
)
async def test_the_public_port_is_asked_what_health_checks_ask_with_their_patience(
    manifest: str, path: str, takes_s: float, reached: bool
) -> None:
    stored = load_manifest(f'{manifest}\n[project]\nname = "shop"\n').model_dump(mode="json")
    live = release(manifest=stored)
    production = Environment("env-1", "shop", "production", live.id, 1, T0)
    prober = FakeProber(
        lambda url, host: ProbeResult(404, takes_s, headers={"x-gantry-release": live.id})
    )
    found = await PublicProbe(prober, NAMING, "127.0.0.1").served_by(production, live)
    assert found == (live.id if reached else "")
    assert [(asked.url, asked.host) for asked in prober.asked] == [
        (f"https://127.0.0.1:8443{path}", "shop.localhost")
    ]


async def test_it_follows_so_far_and_no_further() -> None:
    prober = _site({f"/{n}": (302, f"/{n + 1}") for n in range(100)} | {"/old": (302, "/0")})
    await PublicProbe(prober, NAMING, "127.0.0.1").smoke("shop", RELEASE)
    assert len(prober.asked) == 6
