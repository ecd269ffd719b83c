"""Paths with parameters: what is understood, and what is refused with which sentence."""

import re

import pytest
from hypothesis import given, strategies as st

from gantry.config.patterns import NotSupportedError, parse_pattern, unknown_parameters
from gantry.engines.edge.patterns import compile_pattern


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
    else:
        assert compile_pattern(text).names == pattern.parameters


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
    assert compile_pattern(text).names == pattern.parameters


def test_parameters_of_a_destination_come_from_the_source() -> None:
    source = parse_pattern("/a/:x/:y*")
    assert unknown_parameters("/b/:y*/:x", source) == ()
    assert unknown_parameters("https://shop.example:8443/:x/:z", source) == (":z",)
    groups = parse_pattern("/(.*)/(.*)")
    assert unknown_parameters("/$2/$1", groups) == ()
    assert unknown_parameters("/$0/$3", groups) == ("$0", "$3")
