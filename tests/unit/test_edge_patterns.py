"""Path patterns: the translation agrees with a matcher that works segment by segment, without regular expressions."""

import re
from collections.abc import Iterator

import pytest
from hypothesis import given, strategies as st

from gantry.config.patterns import parse_destination, parse_pattern, unknown_parameters
from gantry.engines.edge.patterns import compile_pattern
from gantry.kernel.errors import UserError


def redirected(source: str, destination: str, path: str) -> str | None:
    """Where `path` leads, as Envoy finds it: match, then replace the groups. `None` where it does not match."""
    pattern = compile_pattern(source)
    match = re.fullmatch(pattern.regex, path)
    if match is None:
        return None
    return filled_in(match, pattern.substitution(destination))


def filled_in(match: re.Match[str], substitution: str) -> str:
    """As RE2 does: `\\1` is one digit, and a group that took no part is nothing."""
    return re.sub(
        r"\\(\d|\\)",
        lambda found: "\\" if found[1] == "\\" else match[int(found[1])] or "",
        substitution,
    )


@pytest.mark.parametrize(
    ("source", "destination", "path", "expected"),
    [
        ("/old", "/new", "/old", "/new"),
        ("/old", "/new", "/old/", "/new"),
        ("/old", "/new", "/older", None),
        ("/old/:slug*", "/new/:slug*", "/old/a/b", "/new/a/b"),
        ("/old/:slug*", "/new/:slug*", "/old", "/new"),
        ("/old/:slug*", "/new?path=:slug*", "/old/a/b", "/new?path=a/b"),
        ("/old/:slug*", "/new?path=:slug", "/old", "/new?path="),
        ("/old/:slug+", "/new/:slug+", "/old", None),
        ("/old/:slug+", "/new/:slug+", "/old/a/b", "/new/a/b"),
        ("/:lang?/about", "/about/:lang", "/about", "/about"),
        ("/:lang?/about", "/about/:lang", "/de/about", "/about/de"),
        ("/post/:id(\\d+)", "/p/:id", "/post/42", "/p/42"),
        ("/post/:id(\\d+)", "/p/:id", "/post/x", None),
        ("/(.*)", "/v2/$1", "/a/b", "/v2/a/b"),
        ("/:a/:b", "/:b?first=:a", "/x/y", "/y?first=x"),
        ("/:file.:extension", "/:extension/:file", "/a.png", "/png/a"),
        ("/a.b", "/ok", "/axb", None),
        ("/a\\(b\\)", "/ok", "/a(b)", "/ok"),
        ("/a", "/back\\slash", "/a", "/back\\slash"),
        ("/:lang(en|de)/(.*)", "/$1?lang=:lang", "/de/x", "/x?lang=de"),
        ("/" + "/".join(f":p{n}*" for n in range(6)), "/ok/:p0", "/a", "/ok/a"),
        ("/:lang(en|de)*", "/l/:lang*", "/de/en/de", "/l/de/en/de"),
        ("/:lang(en|de)+/x", "/:lang", "/dee/x", None),
        ("/old", "/$\u00b2?x=:1", "/old", "/$\u00b2?x=:1"),
    ],
)
def test_where_a_path_leads(source: str, destination: str, path: str, expected: str | None) -> None:
    assert redirected(source, destination, path) == expected


@pytest.mark.parametrize(
    "source",
    ["old", "/:", "/(a", "/((a)b)", "/([)", "/((?!api).*)", "/(?<x>a)", "/((?P<x>a))", "/(?i)a"],
)
def test_what_cannot_be_translated(source: str) -> None:
    with pytest.raises(UserError) as caught:
        compile_pattern(source)
    assert caught.value.code == "route.bad-pattern"
    assert caught.value.hint


def test_a_destination_may_only_use_what_the_source_has() -> None:
    with pytest.raises(UserError) as caught:
        compile_pattern("/old/:slug").substitution("/new/:slgu")
    assert caught.value.code == "route.unknown-parameter"


def test_never_more_than_nine_groups() -> None:
    pattern = compile_pattern("/" + "/".join(f":p{n}*" for n in range(9)))
    assert re.compile(pattern.regex).groups == 9
    assert tuple(pattern.groups.values()) == tuple(range(1, 10))


# -- the reference ------------------------------------------------------------------------------

WORDS = st.sampled_from(["a", "b", "ab", "a.b", "1", "42", "$", "é"])
PARTS = st.sampled_from(["word", "one", "many", "some", "maybe", "number", "rest"])


MODIFIERS = {"many": "*", "some": "+", "maybe": "?", "number": "(\\d+)", "rest": "(.*)"}


def source_of(parts: list[tuple[str, str]]) -> str:
    written = ""
    for at, (kind, word) in enumerate(parts):
        literal = re.sub(r"([.$])", r"\\\1", word)
        written += "/" + (literal if kind == "word" else f":p{at}{MODIFIERS.get(kind, '')}")
    return written


def matches(parts: list[tuple[str, str]], segments: list[str]) -> bool:
    """Whether the parts can take all segments, found by trying how many each takes."""
    if not parts:
        return not segments
    (kind, word), rest = parts[0], parts[1:]
    return any(
        _fits(kind, word, segments[:count]) and matches(rest, segments[count:])
        for count in _counts(kind, len(segments))
    )


def _counts(kind: str, most: int) -> Iterator[int]:
    lowest = 0 if kind in ("many", "maybe") else 1
    highest = most if kind in ("many", "some", "rest") else 1
    yield from range(lowest, min(highest, most) + 1)


def _fits(kind: str, word: str, taken: list[str]) -> bool:
    if kind == "word":
        return taken == [word]
    if kind == "number":
        return taken[0].isdecimal()
    return True


@given(
    st.lists(st.tuples(PARTS, WORDS), min_size=1, max_size=4),
    st.lists(WORDS, min_size=1, max_size=6),
)
def test_it_matches_what_the_reference_matches(
    parts: list[tuple[str, str]], segments: list[str]
) -> None:
    pattern = compile_pattern(source_of(parts))
    path = "/" + "/".join(segments)
    assert bool(re.fullmatch(pattern.regex, path)) == matches(parts, segments)


@given(st.lists(WORDS, max_size=5), st.sampled_from(["*", "+"]))
def test_what_is_taken_arrives_whole(segments: list[str], modifier: str) -> None:
    tail = "".join(f"/{word}" for word in segments)
    if segments or modifier == "*":
        source, destination = f"/old/:rest{modifier}", f"/new/:rest{modifier}/end"
        assert redirected(source, destination, "/old" + tail) == f"/new{tail}/end"


@given(
    st.sampled_from(["/old", "/:a", "/:a/:b*", "/(.*)/:a?"]),
    st.text(max_size=20) | st.text(alphabet="/:ab$12\u00b2?*+\\", max_size=20),
)
def test_a_destination_leads_somewhere_or_is_refused(source: str, destination: str) -> None:
    unknown = unknown_parameters(destination, parse_pattern(source))
    pattern = compile_pattern(source)
    if unknown:
        with pytest.raises(UserError, match=re.escape(unknown[0])):
            pattern.substitution(destination)
    else:
        path = source.replace(":", "").replace("*", "").replace("(.)", "a").rstrip("?")
        match = re.fullmatch(pattern.regex, path)
        assert match is not None
        led_to = filled_in(match, pattern.substitution(destination))
        texts = [part for part in parse_destination(destination) if isinstance(part, str)]
        assert all(text.strip("/") in led_to for text in texts)


@given(st.text(alphabet="/:a(){}[]?*+\\.|^$", max_size=20).map("/".__add__))
def test_arbitrary_text_is_translated_or_refused(source: str) -> None:
    try:
        pattern = compile_pattern(source)
    except UserError as error:
        assert error.code == "route.bad-pattern"
    else:
        assert re.compile(pattern.regex).groups == len(pattern.groups) + len(pattern.slashed)
