"""Commands ask for nothing that the API does not offer: the fake that their tests run on is held against the real one."""

import re
from pathlib import Path

from fastapi.routing import APIWebSocketRoute

from gantry.engines.database.protocol import Database
from gantry.kernel.names import API_PREFIX
from gantry.web.app import create_app
from tests.support.cli import MANIFEST, Bench
from tests.support.web import House, all_routes

COMMANDS = (
    "deploy", "deploy --cancel", "plan", "promote", "rollback", "cancel dep-1", "releases", "audit",
    "status", "logs", "logs --follow", "open --print", "open --console --print", "purge --all", "version",
    "rollout status", "rollout pause", "rollout resume", "rollout promote", "rollout abort",
    "env list", "env set A=1", "env unset SESSION_SECRET", "token list", "token create ci", "token revoke 0123",
    "run -- ls", "run --detach -- ls", "runs", "runs stop run-1", "runs logs run-1", "psql --yes -c 1", "redis --yes -- PING",
    "psql --yes --url", "build-cache show", "build-cache clear", "deploy --no-cache",
    "scale", "scale web=3", "scale --reset", "ps",
    "destroy --yes", "destroy --yes -e staging",
)  # fmt: skip


async def test_every_request_of_a_command_is_one_that_the_api_documents(
    database: Database, tmp_path: Path
) -> None:
    (tmp_path / "gantry.toml").write_text(MANIFEST)
    bench = Bench(tmp_path)
    bench.api.log_breaks = [KeyboardInterrupt()]
    for line in COMMANDS:
        assert bench.run(*line.split()).code == 0, line
    app = create_app(House(database, tmp_path).services)
    document = app.openapi()
    documented = [
        (method.upper(), re.compile(re.sub(r"\{\w+\}", "[^/]+", path.removeprefix(API_PREFIX))))
        for path, operations in document["paths"].items()
        for method in operations
    ]
    # OpenAPI knows no WebSockets: the description of the request that begins one speaks of it.
    documented += [
        (
            "GET",
            re.compile(re.sub(r"\{\w+\}", "[^/]+", (route.path or "").removeprefix(API_PREFIX))),
        )
        for route in all_routes(app)
        if isinstance(route.original_route, APIWebSocketRoute)
    ]
    unknown = {
        f"{method} {path}"
        for method, path, _ in bench.api.asked
        if not any(method == known and at.fullmatch(path) for known, at in documented)
    }
    assert not unknown
    assert len({(method, path) for method, path, _ in bench.api.asked}) > 20
