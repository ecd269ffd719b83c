"""vercel.json: what is honoured, what is listed, what is refused."""

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from gantry.config.load import ManifestError, load_manifest, read_manifest
from gantry.config.manifest import Cron, Redirect

PROJECT = '[project]\nname = "shop"\n'


def notes_of(vercel: dict[str, Any], manifest: str = PROJECT) -> tuple[str, ...]:
    return read_manifest(manifest, vercel=json.dumps(vercel, indent=1).encode()).notes


def faults_of(vercel: str) -> list[str]:
    with pytest.raises(ManifestError) as caught:
        load_manifest(PROJECT, vercel=vercel.encode())
    return [str(fault) for fault in caught.value.faults]


def test_rules_are_taken_over() -> None:
    vercel = {
        "$schema": "https://openapi.vercel.sh/vercel.json",
        "redirects": [
            {"source": "/a", "destination": "/b"},
            {
                "source": "/c/:slug*",
                "destination": "https://other.example/:slug*",
                "permanent": False,
            },
            {"source": "/d", "destination": "/e", "statusCode": 301},
        ],
        "rewrites": [{"source": "/api/:path*", "destination": "/backend/:path*"}],
        "headers": [
            {"source": "/(.*)", "headers": [{"key": "X-Frame-Options", "value": "DENY"}]},
        ],
    }
    routes = load_manifest(PROJECT, vercel=json.dumps(vercel).encode()).routes
    assert [rule.status for rule in routes.redirects] == [308, 307, 301]
    assert routes.rewrites[0].destination == "/backend/:path*"
    assert routes.headers[0].headers == {"X-Frame-Options": "DENY"}
    assert notes_of(vercel) == ()


def test_the_manifests_own_rule_wins() -> None:
    manifest = PROJECT + '[[routes.redirects]]\nsource = "/a"\ndestination = "/mine"\n'
    vercel = b'{"redirects": [{"source": "/a", "destination": "/b"}, {"source": "/c", "destination": "/d"}]}'
    assert load_manifest(manifest, vercel=vercel).routes.redirects == (
        Redirect(source="/a", destination="/mine"),
        Redirect(source="/c", destination="/d"),
    )


def test_crons_are_requests_in_production_only() -> None:
    vercel = b"""{"crons": [
        {"path": "/api/cron/expire?all=1", "schedule": "*/5 * * * *"},
        {"path": "/api/cron/expire?all=1", "schedule": "0 3 * * *"},
        {"path": "/", "schedule": "0 4 * * *"}]}"""
    manifest = load_manifest(PROJECT, vercel=vercel)
    production = manifest.for_environment("production")
    assert list(production.crons) == ["api-cron-expire-all-1", "api-cron-expire-all-1-2", "root"]
    assert production.crons["root"] == Cron(path="/", schedule="0 4 * * *")
    assert manifest.for_environment("staging").crons == {}


def test_a_cron_of_the_manifest_keeps_its_name_and_overrides() -> None:
    manifest = PROJECT + (
        '[processes.cron.expire]\ncommand = "run"\nschedule = "@daily"\n'
        '[environments.production]\nprocesses.cron.expire.timeout = "1m"\n'
        'processes.cron.root.timeout = "2m"\nprocesses.cron.root.path = "/"\n'
        'processes.cron.root.schedule = "@hourly"\n'
    )
    vercel = b'{"crons": [{"path": "/expire", "schedule": "0 4 * * *"}, {"path": "/", "schedule": "0 5 * * *"}]}'
    crons = load_manifest(manifest, vercel=vercel).for_environment("production").crons
    assert crons["expire"].command == "run"
    assert crons["expire"].timeout_s == 60.0
    assert crons["root"].schedule == "@hourly"


def test_crons_of_a_project_without_web_are_listed() -> None:
    manifest = PROJECT + "[processes]\nweb = false\n"
    vercel: dict[str, Any] = {"crons": [{"path": "/a", "schedule": "0 4 * * *"}]}
    assert notes_of(vercel, manifest) == (
        "vercel.json: crons: not honoured: there is no web process that could answer them",
    )
    loaded = load_manifest(manifest, vercel=json.dumps(vercel).encode())
    assert loaded.for_environment("production").crons == {}


def test_what_is_not_honoured_is_listed() -> None:
    vercel = {
        "functions": {"api/*.js": {"memory": 512}},
        "regions": ["fra1"],
        "cleanUrls": True,
        "trailingSlash": False,
        "buildCommand": "npm run build",
        "somethingNew": 1,
        "redirects": [
            {"source": "/a", "destination": "/b", "has": [{"type": "cookie", "key": "x"}]},
            {"source": "/((?!api/).*)", "destination": "/b"},
        ],
        "rewrites": [{"source": "/x", "destination": "https://other.example/x"}],
    }
    assert notes_of(vercel) == (
        'vercel.json:15: redirects[0]: not honoured: depends on has; only { type = "host", value = "…" } with one name',
        (
            "vercel.json:26: redirects[1].source: not honoured: uses a look-around, a named group or a "
            "back-reference in ((?!api/).*), which the edge cannot match"
        ),
        "vercel.json:31: rewrites[0]: not honoured: leads '/x' to another host; a rewrite stays inside the product",
        (
            "vercel.json:2: functions: not honoured; every request is answered by the web process; "
            "set [processes.web] memory"
        ),
        "vercel.json:7: regions: not honoured; the machine that Gantry runs on is the region",
        (
            "vercel.json:10: cleanUrls: not honoured; pages keep their own paths; a redirect in [routes] does the "
            "same for one of them"
        ),
        "vercel.json:11: trailingSlash: not honoured; the framework decides it (trailingSlash in next.config)",
        "vercel.json:12: buildCommand: not honoured; set [build] command",
        "vercel.json:13: somethingNew: not honoured",
    )


HOST = {"type": "host", "value": "www.example.org"}


@pytest.mark.parametrize("value", ["www.example.org", "WWW.example.org", "www\\.example\\.org"])
def test_a_condition_of_one_name_is_a_rule_for_it(value: str) -> None:
    rule = {"source": "/:path*", "destination": "https://example.org/:path*"}
    has = [{"type": "host", "value": value}]
    vercel = {
        "redirects": [{**rule, "has": has}],
        "rewrites": [{"source": "/a", "destination": "/b", "has": has}],
    }
    routes = load_manifest(PROJECT, vercel=json.dumps(vercel).encode()).routes
    assert [(one.host, one.source) for one in routes.redirects] == [("www.example.org", "/:path*")]
    assert [(one.host, one.source) for one in routes.rewrites] == [("www.example.org", "/a")]
    (note,) = notes_of(vercel)
    assert note.startswith("gantry.toml: routes: a rule is for www.example.org, which is none of")


@pytest.mark.parametrize(
    "rule",
    [
        {"has": [HOST, {"type": "header", "key": "x-a"}]},
        {"has": [{"type": "host", "value": "(?<tenant>.*).example.org"}]},
        {"has": [{**HOST, "key": "x"}]},
        {"missing": [HOST]},
    ],
)
def test_other_conditions_are_listed(rule: dict[str, Any]) -> None:
    vercel = {"redirects": [{"source": "/a", "destination": "/b", **rule}]}
    (note,) = notes_of(vercel)
    assert "not honoured: " in note
    headers = {"headers": [{"source": "/a", "headers": [], "has": [HOST]}]}
    assert notes_of(headers) == ("vercel.json:3: headers[0]: not honoured: it depends on has",)


@pytest.mark.parametrize(
    ("vercel", "faults"),
    [
        ("[]", ["vercel.json:1: must be an object, not a list"]),
        ("{", ["vercel.json:1: expecting property name enclosed in double quotes"]),
        ('{"redirects": 1}', ["vercel.json:1: redirects: must be a list, not the number 1"]),
        (
            '{"crons": [\n{"path": "/a"},\n{"path": "/b", "schedule": "often"}]}',
            [
                "vercel.json:2: crons[0].schedule: is missing",
                (
                    "vercel.json:3: crons[1].schedule: is 'often', which does not have five fields: minute, hour, day, "
                    "month, weekday, like '*/15 * * * *'"
                ),
            ],
        ),
        (
            '{"headers": [{"source": "/a", "headers": [{"key": "A B", "value": "1"}]}]}',
            ["vercel.json:1: headers[0].headers: has 'A B', which cannot be the name of a header"],
        ),
        ('{"a": NaN}', ["vercel.json: NaN is not a JSON number"]),
        ('{"a": "\\ud800"}', ["vercel.json: has half of a surrogate pair in a text"]),
        ("[" * 50_000, ["vercel.json: has tables or lists inside each other more than 12 deep"]),
    ],
)
def test_what_is_wrong_is_refused(vercel: str, faults: list[str]) -> None:
    assert faults_of(vercel) == faults


@given(st.binary(max_size=80) | st.text(alphabet='{}[]",:\\u0a1', max_size=60).map(str.encode))
def test_arbitrary_content_gives_a_report_or_a_manifest(content: bytes) -> None:
    try:
        load_manifest(PROJECT, vercel=content)
    except ManifestError as error:
        assert {fault.file for fault in error.faults} == {"vercel.json"}


RULE: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    st.sampled_from(
        ["source", "destination", "headers", "permanent", "statusCode", "has", "path", "schedule"]
    ),
    st.sampled_from(
        ["/a", "/:a*", "/(b", "@daily", 301, True, None, [], {}, [{"key": "a", "value": "b"}]]
    ),
)


@given(
    st.dictionaries(
        st.sampled_from(["redirects", "rewrites", "headers", "crons", "functions"]),
        st.lists(RULE, max_size=3) | RULE,
    )
)
def test_arbitrary_rules_give_a_report_or_a_manifest(vercel: dict[str, Any]) -> None:
    try:
        manifest = load_manifest(PROJECT, vercel=json.dumps(vercel).encode())
    except ManifestError:
        return
    assert manifest.for_environment("production").environment == "production"
