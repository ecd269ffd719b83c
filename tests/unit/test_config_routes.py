"""Rules of the edge in a manifest: hosts, timeouts, queries."""

import pytest

from gantry.config.load import ManifestError, load_manifest, read_manifest
from gantry.config.manifest import Manifest

PROJECT = '[project]\nname = "shop"\n'
DOMAINS = '[environments.production]\ndomains = ["example.org", "www.example.org"]\n'


def read(text: str) -> Manifest:
    return load_manifest(PROJECT + text)


def fault(text: str) -> str:
    with pytest.raises(ManifestError) as caught:
        read(text)
    (found,) = caught.value.faults
    return str(found)


def test_a_redirect_of_a_whole_name_needs_no_source() -> None:
    rule = '[[routes.redirects]]\nhost = "WWW.example.org"\ndestination = "https://example.org/:path*"\n'
    (redirect,) = read(rule).routes.redirects
    assert (redirect.host, redirect.source) == ("www.example.org", "/:path*")
    assert read_manifest(PROJECT + DOMAINS + rule).notes == ()
    (note,) = read_manifest(PROJECT + rule).notes
    assert "www.example.org, which is none of the domains" in note


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ('host = "https://a.b"\ndestination = "/b"', "write the bare name"),
        ('host = "a..b"\ndestination = "/b"', "write the bare name"),
        ('host = "a.b"\ndestination = "/:path*"', "leads a.b/:path* to itself"),
        ('host = "a.b"\ndestination = "https://A.b/:path*"', "leads a.b/:path* to itself"),
        (
            'host = "c.d"\nhas = [{ type = "host", value = "a.b" }]\ndestination = "/b"',
            "names two hosts",
        ),
        (
            'source = "/a"\nhas = [{ type = "query", key = "x" }]\ndestination = "/b"',
            "depends on has",
        ),
        ('destination = "/b"', "source: is missing"),
    ],
)
def test_hosts_that_cannot_be_meant(rule: str, words: str) -> None:
    assert words in fault(f"[[routes.redirects]]\n{rule}\n")


def test_one_source_of_two_names_is_two_rules() -> None:
    rules = "".join(
        f'[[routes.redirects]]\nhost = "{host}"\ndestination = "https://c.example/"\n'
        for host in ("a.example", "b.example")
    )
    assert len(read(rules).routes.redirects) == 2
    assert "is there already" in fault(rules.replace("b.example", "a.example"))


def test_a_query_takes_one_parameter_s_place() -> None:
    nine = "/" + "/".join(f":p{number}" for number in range(9))
    plain = read(f'[[routes.rewrites]]\nsource = "{nine}"\ndestination = "/b"\n')
    assert len(plain.routes.rewrites) == 1
    assert "takes 8 then" in fault(
        f'[[routes.rewrites]]\nsource = "{nine}"\ndestination = "/b?c=:p1"\n'
    )


def test_timeouts_have_defaults_and_paths_of_their_own() -> None:
    timeouts = read("").routes.timeouts
    assert (timeouts.response_s, timeouts.idle_s, timeouts.paths) == (300, 300, ())
    timeouts = read(
        '[routes.timeouts]\nresponse = "1m"\nidle = "1h"\n'
        '[[routes.timeouts.paths]]\nsource = "/reports/:name"\nresponse = "20m"\n'
    ).routes.timeouts
    assert [rule.within(timeouts) for rule in timeouts.paths] == [(1200, 3600)]


@pytest.mark.parametrize("value", ['"0s"', '"2d"', "60", '"soon"'])
def test_timeouts_have_bounds_and_units(value: str) -> None:
    assert "response" in fault(f"[routes.timeouts]\nresponse = {value}\n")


def test_limits_are_rates_with_a_burst_and_a_key() -> None:
    first, second = read(
        '[[routes.limits]]\nsource = "/api/:path*"\nrate = "100/minute"\n'
        '[[routes.limits]]\nsource = "/login"\nrate = "5 per hour"\nburst = 2\nper = "header X-Api-Key"\nstatus = 503\n'
    ).routes.limits
    assert (first.requests, first.period_s, first.burst, first.key) == (
        100,
        60,
        None,
        ("address", ""),
    )
    assert (second.requests, second.period_s, second.burst) == (5, 3_600, 2)
    assert (second.key, second.status) == (("header", "x-api-key"), 503)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ('rate = "fast"', "write a number of requests and a period"),
        ('rate = "0/minute"', "write a number of requests and a period"),
        ('rate = "1/week"', "second, minute, hour, day"),
        ('rate = "1/day"\nper = "cookie a=b"', "a cookie or header with its name"),
        ('rate = "1/day"\nburst = 0', "burst"),
        ('rate = "1/day"\nstatus = 200', "status"),
        ("", "rate"),
    ],
)
def test_limits_that_mean_nothing_are_refused(lines: str, words: str) -> None:
    assert words in fault(f'[[routes.limits]]\nsource = "/a"\n{lines}\n')


def test_limits_are_few() -> None:
    rule = '[[routes.limits]]\nsource = "/a"\nrate = "1/day"\n'
    assert len(read(rule * 8).routes.limits) == 8
    assert "routes.limits" in fault(rule * 9)


@pytest.mark.parametrize("name", ["x-gantry-release", "X-Gantry-Anything"])
def test_no_rule_speaks_for_the_edge(name: str) -> None:
    rule = f'[[routes.headers]]\nsource = "/a"\nheaders = {{ "{name}" = "r-fake" }}\n'
    assert "the edge's own" in fault(rule)
