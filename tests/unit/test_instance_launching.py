"""What a process of a release is told of itself."""

from pathlib import Path

import pytest

from gantry.engines.builders.protocol import Artifact, Place
from gantry.engines.runtime.protocol import Limits
from gantry.features.instances.launching import Identity, Program, process_spec
from gantry.features.projects.host_names import HostNames
from gantry.features.projects.model import Environment
from tests.support.stories import at, release

_ENVIRONMENT = Environment("e-1", "shop", "staging", None, 0, at(0))
_PLACE = Place(Path("/artifacts/d"), "apps/web", path="/app/node_modules/.bin:/bin")
_ARTIFACT = Artifact("d", _PLACE, "nextjs", ("node", "server.js"), env={"A": "built"})


def _env(variables: dict[str, str], port: int | None = 4000) -> dict[str, str]:
    identity = Identity("i-1", release(), _ENVIRONMENT, "https://shop.example", port)
    spec = process_spec(
        identity, _ARTIFACT, Program(_PLACE, ("node", "server.js")), variables, limits=Limits()
    )
    return dict(spec.env)


def test_a_web_process_is_told_where_to_listen_and_how_it_is_called() -> None:
    env = _env({"A": "set", "SESSION_SECRET": "s"})
    assert env == {
        "A": "set",
        "SESSION_SECRET": "s",
        "HOME": "/tmp",
        "HOST": "127.0.0.1",
        "HOSTNAME": "127.0.0.1",
        "PORT": "4000",
        "KEEP_ALIVE_TIMEOUT": "75000",
        "AUTH_TRUST_HOST": "true",
        "NG_ALLOWED_HOSTS": "*",
        "NG_TRUST_PROXY_HEADERS": "x-forwarded-host,x-forwarded-port,x-forwarded-proto",
        "PATH": "/app/node_modules/.bin:/bin",
        "GANTRY_PROJECT": "shop",
        "GANTRY_ENVIRONMENT": "staging",
        "GANTRY_RELEASE": "r-1",
        "GANTRY_INSTANCE": "i-1",
        "GANTRY_URL": "https://shop.example",
    }


def test_a_command_listens_nowhere() -> None:
    assert {"HOST", "HOSTNAME", "PORT"}.isdisjoint(_env({}, port=None))


def test_a_team_may_say_that_its_product_believes_no_proxy() -> None:
    assert _env({"AUTH_TRUST_HOST": ""})["AUTH_TRUST_HOST"] == ""


@pytest.mark.parametrize(
    ("domains", "url"),
    [
        ((), "https://staging--shop.localhost:8443"),
        (("www.shop.example", "shop.example"), "https://www.shop.example:8443"),
    ],
)
def test_the_url_of_an_environment_is_that_of_its_first_domain(
    domains: tuple[str, ...], url: str
) -> None:
    assert HostNames("localhost", 8443).public_url(_ENVIRONMENT, domains) == url
