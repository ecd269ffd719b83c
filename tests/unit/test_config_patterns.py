"""Paths with parameters: what is understood, and what is refused with which sentence."""

import re

import pytest
from hypothesis import given, strategies as st

from gantry.config.patterns import (
    NotSupportedError,
    Parameter,
    Reference,
    parse_destination,
    parse_pattern,
    unknown_parameters,
)
from gantry.engines.edge.patterns import compile_pattern
from gantry.kernel.errors import UserError


@pytest.mark.parametrize(
    ("pattern", "parameters"),
    [
        ("/", ()),
        ("/old", ()),
        ("/blog/:slug", ("slug",)),
        ("/:path*", ("path",)),
        ("/:a/:b+/:c?", ("a", "b", "c")),
        ("/(.*)", ("0",)),
        ("/post/:id(\\d{1,})", ("id",)),
        ("/:lang(en|fr)/(.*)", ("lang", "0")),
        ("/files\\(1\\)", ()),
        ("/((?:a|b)c)", ("0",)),
        ("/(a\\)b)", ("0",)),
        ("/:year(\\d{4})/:tail(\\\\p+)", ("year", "tail")),
        ("/:file.:ext", ("file", "ext")),
    ],
)
def test_what_is_understood(pattern: str, parameters: tuple[str, ...]) -> None:
    assert parse_pattern(pattern).parameters == parameters


def test_its_parts_are_text_and_parameters() -> None:
    assert parse_pattern("/a\\(b/:id(\\d+)?/(.*)/:rest*").parts == (
        "/a(b/",
        Parameter("id", "\\d+", "?"),
        "/",
        Parameter("0", ".*"),
        "/",
        Parameter("rest", modifier="*"),
    )


@pytest.mark.parametrize(
    ("destination", "parts"),
    [
        ("/new", ("/new",)),
        ("", ()),
        (":a", (Reference("a", ":a"),)),
        ("/:a*/x", ("/", Reference("a", ":a"), "/x")),
        ("/:a?", ("/", Reference("a", ":a"))),
        ("/:a?b=:c+", ("/", Reference("a", ":a"), "?b=", Reference("c", ":c"))),
        ("https://b.example:8443/$1", ("https://b.example:8443/", Reference("0", "$1"))),
        ("/$\u00b2/\u0663", ("/$\u00b2/\u0663",)),
    ],
)
def test_a_destination_is_text_and_references(
    destination: str, parts: tuple[str | Reference, ...]
) -> None:
    assert parse_destination(destination) == parts


@pytest.mark.parametrize(
    ("pattern", "sentence"),
    [
        ("old", "must start with /"),
        ("/:", "has a : without a name"),
        ("/:a/:a", "uses :a twice"),
        ("/(a", "has a ( without its )"),
        ("/a)", "has a ) without its ("),
        ("/()", "has an empty ( )"),
        ("/*", "has a * that follows no parameter or group"),
        ("/a?", "has a ? that follows no parameter or group"),
        ("/a b", "has a space"),
        ("/a#b", "has a #"),
        ("/a\\", "ends with a \\"),
        ("/:a([)", "has a regular expression that is wrong"),
        ("/(?:a|b)", "has a group that begins with ?"),
        ("/((a)b)", "has a group inside of a group"),
        ("/([[a])", "has a regular expression that is wrong"),
        ("/([z-a])", "has a regular expression that is wrong"),
        ("/" + "a" * 3000, "has 3001 characters"),
    ],
)
def test_what_is_refused(pattern: str, sentence: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(sentence)):
        parse_pattern(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        "/((?!api).*)",
        "/((?<=a)b)",
        "/((?P<x>a))",
        "/(a\\1)",
        "/((?i)a)",
        "/(a++)",
        "/(\\x41)",
        "/(\\p{L})",
        "/(a{1001})",
        "/a{/:b}?",
        "/" + "/(.)" * 10,
        "/((?:a{40}){40})",
    ],
)
def test_what_the_edge_cannot_match(pattern: str) -> None:
    with pytest.raises(
        NotSupportedError,
        match=r"the edge cannot match|the edge does not know|repeats more than|has more than 9",
    ):
        parse_pattern(pattern)


@given(st.text() | st.text(alphabet="/:a(){}[]?*+\\.|^", max_size=20).map("/".__add__))
def test_arbitrary_text_is_understood_or_refused(text: str) -> None:
    try:
        pattern = parse_pattern(text)
    except ValueError as error:
        assert str(error)
        with pytest.raises(UserError, match=re.escape(str(error))):
            compile_pattern(text)
    else:
        assert tuple(compile_pattern(text).groups) == pattern.parameters


PIECE = st.sampled_from(
    [
        "/",
        "a",
        ".",
        "-",
        ":a",
        ":b*",
        ":c(\\d+)",
        ":d(x|y)?",
        "(.*)",
        "([^/]+?)",
        "\\(",
        "((?:a|b)+)",
        "\\\\",
        "{",
        ")",
    ]
)


@given(st.lists(PIECE, max_size=8).map(lambda pieces: "/" + "".join(pieces)))
def test_the_edge_understands_what_is_understood_here(text: str) -> None:
    try:
        pattern = parse_pattern(text)
    except ValueError:
        return
    assert tuple(compile_pattern(text).groups) == pattern.parameters


def test_parameters_of_a_destination_come_from_the_source() -> None:
    source = parse_pattern("/a/:x/:y*")
    assert unknown_parameters("/b/:y*/:x", source) == ()
    assert unknown_parameters("https://shop.example:8443/:x/:z", source) == (":z",)
    groups = parse_pattern("/(.*)/(.*)")
    assert unknown_parameters("/$2/$1", groups) == ()
    assert unknown_parameters("/$0/$3", groups) == ("$0", "$3")
