"""The API serves clients that are older than it: requests stay accepted, answers may only grow.

`tests/golden/api/openapi.json` is the description that the last released version gave. A release replaces it.
"""

import copy
import json
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import httpx
import pytest
from pydantic import BaseModel

from gantry.cli.transport import Api, path
from gantry.engines.database.protocol import Database
from gantry.features.accounts.model import Role
from gantry.features.deploys.bodies import DeployBody, DeployEvent
from gantry.features.platform.bodies import StatusBody
from gantry.features.rollouts.bodies import RolloutBody
from gantry.features.rollouts.model import Stage, StageKind
from gantry.kernel.bodies import Answer, Request
from gantry.web.app import create_app
from tests.support.cli import Bench
from tests.support.compatibility import Client, faults
from tests.support.console_seed import CHANGES, Seeder, seed
from tests.support.web import START, House, client

EARLIER: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "golden" / "api" / "openapi.json").read_text()
)
_DEPLOYS = "/api/v1/projects/{project}/environments/{environment}/deploys"


@pytest.fixture
def house(database: Database, tmp_path: Path) -> House:
    return House(database, tmp_path)


@pytest.fixture
async def http(house: House) -> AsyncIterator[httpx.AsyncClient]:
    token = await house.token(Role.OWNER)
    async with client(create_app(house.services), token=token) as opened:
        yield opened


async def test_clients_of_the_last_release_are_served(http: httpx.AsyncClient) -> None:
    today = (await http.get("/api/openapi.json")).json()
    assert faults(EARLIER, today) == []


def _schema(document: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = document["components"]["schemas"][name]
    return found


def _no_path(document: dict[str, Any]) -> None:
    del document["paths"]["/api/v1/status"]


def _no_answer_field(document: dict[str, Any]) -> None:
    del _schema(document, "StatusBody")["properties"]["version"]
    _schema(document, "StatusBody")["required"].remove("version")


def _optional_answer_field(document: dict[str, Any]) -> None:
    _schema(document, "EnvironmentBody")["required"].remove("url")


def _other_type(document: dict[str, Any]) -> None:
    _schema(document, "InstanceBody")["properties"]["restarts"]["type"] = "string"


def _null(document: dict[str, Any]) -> None:
    properties = _schema(document, "ReleaseBody")["properties"]
    properties["number"] = {"anyOf": [{"type": "integer"}, {"type": "null"}]}


def _other_format(document: dict[str, Any]) -> None:
    del _schema(document, "AuditBody")["properties"]["at"]["format"]


def _needed_request_field(document: dict[str, Any]) -> None:
    request = _schema(document, "TokenRequest")
    request["properties"]["reason"] = {"type": "string"}
    request["required"].append("reason")


def _no_request_field(document: dict[str, Any]) -> None:
    del _schema(document, "RollbackRequest")["properties"]["to_release"]


def _fewer_values(document: dict[str, Any]) -> None:
    _schema(document, "TokenRequest")["properties"]["role"]["enum"].remove("viewer")


def _shorter(document: dict[str, Any]) -> None:
    _schema(document, "TokenRequest")["properties"]["label"]["maxLength"] = 10


def _narrower_parameter(document: dict[str, Any]) -> None:
    for parameter in document["paths"][_DEPLOYS]["get"]["parameters"]:
        if parameter["name"] == "limit":
            parameter["schema"]["maximum"] = 50


def _needed_parameter(document: dict[str, Any]) -> None:
    given = {"name": "since", "in": "query", "required": True, "schema": {"type": "string"}}
    document["paths"][_DEPLOYS]["get"]["parameters"].append(given)


def _no_answer(document: dict[str, Any]) -> None:
    del document["paths"][_DEPLOYS]["post"]["responses"]["202"]


def _no_body(document: dict[str, Any]) -> None:
    del document["paths"][_DEPLOYS]["get"]["responses"]["200"]["content"]


@pytest.mark.parametrize(
    ("break_it", "fault"),
    [
        (_no_path, "GET /api/v1/status is gone"),
        (_no_answer_field, "GET /api/v1/status 200.version may be missing"),
        (_optional_answer_field, "GET /api/v1/projects 200[].environments[].url may be missing"),
        (_other_type, "restarts is string, and was integer"),
        (_null, "number is null, and was integer"),
        (_other_format, "GET /api/v1/audit 200[].at has another format"),
        (_needed_request_field, "POST /api/v1/tokens takes.reason is needed"),
        (_no_request_field, "rollback takes.to_release is no longer taken"),
        (_fewer_values, "POST /api/v1/tokens takes.role takes fewer values"),
        (_shorter, "POST /api/v1/tokens takes.label has another maxLength"),
        (_narrower_parameter, f"GET {_DEPLOYS} takes limit has another maximum"),
        (_needed_parameter, f"GET {_DEPLOYS} needs since"),
        (_no_answer, f"POST {_DEPLOYS} no longer answers 202"),
        (_no_body, f"GET {_DEPLOYS} 200: no application/json"),
    ],
)
def test_what_breaks_a_client_is_found(
    break_it: Callable[[dict[str, Any]], None], fault: str
) -> None:
    broken = copy.deepcopy(EARLIER)
    break_it(broken)
    assert any(fault in found for found in faults(EARLIER, broken)), faults(EARLIER, broken)


def _new_answer_field(document: dict[str, Any]) -> None:
    status = _schema(document, "StatusBody")
    status["properties"]["colour"] = {"type": "string"}
    status["required"].append("colour")


def _new_answer_value(document: dict[str, Any]) -> None:
    _schema(document, "StepBody")["properties"]["name"]["enum"].append("gilding")


def _new_request_field(document: dict[str, Any]) -> None:
    properties = _schema(document, "PurgeRequest")["properties"]
    properties["hosts"] = {"type": "array", "items": {"type": "string"}, "default": []}


def _new_request_value(document: dict[str, Any]) -> None:
    _schema(document, "TokenRequest")["properties"]["role"]["enum"].append("auditor")


def _other_success(document: dict[str, Any]) -> None:
    answers = document["paths"][_DEPLOYS]["post"]["responses"]
    answers["200"] = answers.pop("202")


def _new_path(document: dict[str, Any]) -> None:
    document["paths"]["/api/v1/weather"] = document["paths"]["/api/v1/status"]


@pytest.mark.parametrize(
    "grow",
    [
        _new_answer_field,
        _new_answer_value,
        _new_request_field,
        _new_request_value,
        _other_success,
        _new_path,
    ],
)
def test_what_grows_breaks_nobody(grow: Callable[[dict[str, Any]], None]) -> None:
    grown = copy.deepcopy(EARLIER)
    grow(grown)
    assert faults(EARLIER, grown) == []


async def _in_a_rollout(house: House) -> None:
    seeder = Seeder(house, START)
    environment = await seeder.environment("shop", "production", age=timedelta(days=2))
    live = await seeder.release(environment, CHANGES[0], ago=timedelta(days=1))
    await seeder.instance(live, 0, age=timedelta(days=1))
    await seeder.canary(environment, CHANGES[1], Stage(StageKind.CANARY, 25, 60.0))


def _subset(read: object, sent: object) -> None:
    """Everything that was read is what was sent."""
    if isinstance(read, dict):
        assert isinstance(sent, dict)
        for name, value in read.items():
            _subset(value, sent.get(name))
    elif isinstance(read, list):
        assert isinstance(sent, list)
        for item, other in zip(read, sent, strict=True):
            _subset(item, other)
    elif isinstance(read, float) and isinstance(sent, int | float):
        assert read == pytest.approx(sent)
    else:
        assert read == sent


async def test_a_client_of_the_last_release_reads_what_is_answered(
    house: House, http: httpx.AsyncClient
) -> None:
    ids = await seed(house, START)
    await _in_a_rollout(house)
    old = Client(EARLIER)
    shop = "/api/v1/projects/shop/environments/production"
    for address, name in {
        "/api/v1/status": "StatusBody",
        "/api/v1/projects/smart-sign": "ProjectBody",
        f"/api/v1/deploys/{ids['failed']}": "DeployBody",
        f"/api/v1/deploys/{ids['running']}": "DeployBody",
        f"{shop}/rollout": "RolloutBody",
        "/api/v1/deploys/dep-none": "ErrorAnswer",
    }.items():
        answer = await http.get(address)
        read = old.model(name).model_validate_json(answer.content)
        _subset(json.loads(read.model_dump_json()), answer.json())


def _grown(sent: object) -> object:
    """The answer of a platform of the future: more fields everywhere, and a step that nobody knows yet."""
    if isinstance(sent, dict):
        grown = {name: _grown(value) for name, value in sent.items()}
        return grown | {"novelty": {"deep": [1]}} if sent else grown
    if isinstance(sent, list):
        return [_grown(item) for item in sent]
    return "gilding" if sent == "smoke" else sent


async def test_this_command_line_reads_what_a_later_platform_answers(
    house: House, http: httpx.AsyncClient
) -> None:
    ids = await seed(house, START)
    sent: dict[str, Any] = {
        address: (await http.get(address)).json()
        for address in (path("status"), path("deploys", ids["running"]))
    }

    def later_platform(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=_grown(sent[request.url.path]))

    # Only what lies between the two is replaced: a network that the test need not have.
    later = httpx.Client(transport=httpx.MockTransport(later_platform), base_url="http://gantry")
    api = Api(later, "token", "here")
    status = api.get(StatusBody, path("status"))
    before = StatusBody.model_validate(sent[path("status")])
    assert status == before.model_copy(update={"projects": status.projects})
    assert "novelty" not in status.model_dump_json()
    deploy = api.get(DeployBody, path("deploys", ids["running"]))
    steps = [step["name"] for step in sent[path("deploys", ids["running"])]["steps"]]
    assert [step.name for step in deploy.steps] == ["gilding" if s == "smoke" else s for s in steps]


def test_commands_show_a_value_that_they_do_not_know(tmp_path: Path) -> None:
    (tmp_path / "gantry.toml").write_text('[project]\nname = "smart-sign"\n')
    bench = Bench(tmp_path)
    bench.api.status = StatusBody.model_validate(
        _replaced(bench.api.status.model_dump(), {"healthy": "melancholy", "succeeded": "praised"})
    )
    shown = bench.run("status")
    assert (shown.code, "melancholy" in shown.out, "praised" in shown.out) == (0, True, True)
    bench.api.rollout = RolloutBody.model_validate(
        _replaced(bench.api.rollout.model_dump(), {"running": "musing", "inconclusive": "moot"})
    )
    shown = bench.run("rollout", "status")
    assert (shown.code, "musing" in shown.out, shown.err) == (0, True, "")
    bench.api.story = [
        DeployEvent.model_validate(
            _replaced(event.model_dump(), {"smoke": "gilding", "done": "blessed"})
        )
        for event in bench.api.story
        if isinstance(event, DeployEvent)
    ]
    shown = bench.run("deploy")
    assert shown.code == 0, shown.err
    assert "gilding" in shown.err


def _replaced(value: object, texts: dict[str, str]) -> Any:
    """The same, with some texts instead of others."""
    if isinstance(value, dict):
        return {name: _replaced(item, texts) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_replaced(item, texts) for item in value]
    return texts.get(value, value) if isinstance(value, str) else value


async def test_a_field_that_no_request_has_is_refused_by_name(http: httpx.AsyncClient) -> None:
    path = "/api/v1/projects/shop/environments/production/promote"
    refused = await http.post(path, json={"from_enviroment": "staging"})
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["where"]) == (
        400,
        "request.invalid",
        "from_enviroment",
    )
    assert error["message"] == "from_enviroment: there is no such field"


def _below(base: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for model in base.__subclasses__():
        yield model
        yield from _below(model)


def _closed(annotation: object, *, open_: bool = False) -> bool:
    """Whether a list of values stands in a type without being open."""
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        marked = any(type(mark).__name__ == "_Open" for mark in metadata)
        return _closed(inner, open_=open_ or marked)
    listed = isinstance(annotation, type) and issubclass(annotation, Enum)
    if listed or get_origin(annotation) is Literal:
        return not open_
    return any(_closed(part) for part in get_args(annotation))


def test_every_list_of_values_in_an_answer_is_open_and_in_a_request_closed() -> None:
    for model in _below(Answer):
        for name, hint in model.__annotations__.items():
            assert not _closed(hint), f"{model.__name__}.{name}: write Open[...]"
    for model in _below(Request):
        for name, hint in model.__annotations__.items():
            assert "Open" not in str(hint), f"{model.__name__}.{name}"
