"""The rules of the edge's cache: what it may keep and give."""

import pytest
from hypothesis import given, strategies as st

from gantry.cache import policy
from gantry.cache.policy import Headers, Lifetime


def heads(**values: str) -> Headers:
    return tuple(
        (name.replace("_", "-").encode(), value.encode()) for name, value in values.items()
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s-maxage=60", Lifetime(60)),
        ("s-maxage=60, stale-while-revalidate=30", Lifetime(60, 30)),
        ("public, max-age=10, s-maxage=60, stale-if-error=99", Lifetime(60, 0, 99)),
        ("public, max-age=10", Lifetime(10)),
        ("max-age=10", None),
        ("public", None),
        ("s-maxage=0", None),
        ("s-maxage=0, stale-while-revalidate=9", Lifetime(0, 9)),
        ("s-maxage=60, private", None),
        ("s-maxage=60, no-store", None),
        ("s-maxage=60, no-cache", None),
        ('s-maxage=60, private="set-cookie"', None),
        ("S-MaxAge=60", Lifetime(60)),
        ("s-maxage=60, must-revalidate, stale-while-revalidate=9", Lifetime(60)),
        ("s-maxage=abc", None),
        ("s-maxage=-5", None),
        ("s-maxage=99999999999999", Lifetime(31_536_000)),
        ('x="s-maxage=60"', None),
        ("", None),
    ],
)
def test_how_long_an_answer_lives(text: str, expected: Lifetime | None) -> None:
    assert policy.lifetime(200, heads(cache_control=text)) == expected


def test_what_is_said_to_caches_of_this_kind_comes_first() -> None:
    both = heads(cache_control="no-store", cdn_cache_control="max-age=60")
    assert policy.lifetime(200, both) == Lifetime(60)
    assert (
        policy.lifetime(200, heads(cache_control="s-maxage=60", cdn_cache_control="no-store"))
        is None
    )
    assert policy.lifetime(200, heads(cache_control="s-maxage=60", age="50")) == Lifetime(10)


@pytest.mark.parametrize(
    ("status", "more"),
    [
        (200, {"set_cookie": "a=b"}),
        (200, {"vary": "*"}),
        (200, {"vary": "accept, *"}),
        (200, {"content_range": "bytes 0-1/2"}),
        (206, {}),
        (302, {}),
        (500, {}),
        (401, {}),
    ],
)
def test_what_is_never_kept(status: int, more: dict[str, str]) -> None:
    assert policy.lifetime(status, heads(cache_control="s-maxage=60", **more)) is None


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, Lifetime(60)),
        ({"set_cookie": "a=b"}, Lifetime(60)),
        ({"cache_control": "s-maxage=5"}, Lifetime(5)),
        ({"cache_control": "private"}, None),
        ({"cache_control": "max-age=5"}, None),
        ({"cdn_cache_control": "no-store"}, None),
    ],
)
def test_what_is_unchanged_lives_on_as_the_product_says_now(
    said: dict[str, str], expected: Lifetime | None
) -> None:
    assert policy.renewed(200, Lifetime(60), heads(**said)) == expected


@pytest.mark.parametrize(
    ("method", "more", "may"),
    [
        ("GET", {}, True),
        ("HEAD", {}, True),
        ("POST", {}, False),
        ("GET", {"authorization": "Bearer x"}, False),
        ("GET", {"cookie": "session=1; theme=dark"}, True),
        ("GET", {"cookie": "a=1; __prerender_bypass=x"}, False),
        ("GET", {"cookie": "not__prerender_bypass=x"}, True),
        ("GET", {"x-prerender-revalidate": "x"}, False),
        ("GET", {"cache_control": "no-cache"}, True),
        (
            "GET",
            {
                "x-forwarded-for": "a",
                "x-forwarded-proto": "b",
                "x-forwarded-host": "c",
                "x-forwarded-port": "d",
            },
            True,
        ),
        ("GET", {"x-envoy-original-path": "/", "x-request-id": "1", "x-requested-with": "a"}, True),
        ("GET", {"x-forwarded-prefix": "/evil"}, False),
        ("GET", {"x-forwarded-scheme": "http"}, False),
        ("GET", {"x-original-url": "/admin"}, False),
        ("GET", {"x-rewrite-url": "/admin"}, False),
        ("GET", {"x-gantry-backend": "r-1", "x-real-ip": "a", "cf-connecting-ip": "b"}, True),
        ("GET", {"forwarded": "host=evil.example"}, False),
        ("GET", {"x-forwarded-anything": "1"}, False),
        ("GET", {"x-vercel-anything": "1"}, False),
        ("GET", {"x-script-name": "/evil"}, False),
        ("GET", {"x-host": "evil.example"}, False),
        ("GET", {"x-http-method-override": "DELETE"}, False),
        ("GET", {"x-middleware-subrequest": "middleware"}, False),
        ("GET", {"x-middleware-prefetch": "1"}, False),
        ("GET", {"x-invoke-status": "404"}, False),
        ("GET", {"x-now-route-matches": "1"}, False),
    ],
)
def test_who_may_be_given_what_others_got(method: str, more: dict[str, str], may: bool) -> None:
    assert policy.may_ask(method, heads(**more)) is may


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        ("gzip, deflate, br, zstd", b"gzip"),
        ("br", b"identity"),
        ("gzip;q=0", b"identity"),
        ("gzip; q=0.000, br", b"identity"),
        ("*", b"gzip"),
        ("GZIP;q=0.5", b"gzip"),
        ("", b"identity"),
    ],
)
def test_encodings(accepted: str, expected: bytes) -> None:
    assert policy.encoding(heads(accept_encoding=accepted)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s-maxage=60, stale-while-revalidate=9", "public, max-age=0, must-revalidate"),
        ("public, max-age=5, s-maxage=60", "public, max-age=5"),
        ("s-maxage=60, max-age=5, immutable", "max-age=5, immutable"),
    ],
)
def test_browsers_are_told_what_is_for_browsers(text: str, expected: str) -> None:
    seen = policy.to_visitor(
        heads(cache_control=text, cache_tag="a", connection="close"), kept=True
    )
    assert seen == heads(cache_control=expected)
    passed = policy.to_visitor(heads(cache_control=text), kept=False)
    assert passed == heads(cache_control=text)


def test_what_is_kept_is_asked_for_whole() -> None:
    asked = heads(
        host="a", range="bytes=0-1", if_none_match='"x"', accept_encoding="br, gzip", te="trailers"
    )
    assert policy.to_upstream(asked, keeping=True) == heads(host="a", accept_encoding="gzip")
    kept = heads(host="a", range="bytes=0-1", if_none_match='"x"', accept_encoding="br, gzip")
    assert policy.to_upstream(asked, keeping=False) == kept


@pytest.mark.parametrize(
    ("asked", "answer", "unchanged"),
    [
        ({"if_none_match": '"a"'}, {"etag": '"a"'}, True),
        ({"if_none_match": 'W/"a", "b"'}, {"etag": '"a"'}, True),
        ({"if_none_match": "*"}, {"etag": '"a"'}, True),
        ({"if_none_match": '"b"'}, {"etag": '"a"'}, False),
        ({"if_none_match": '"b"'}, {}, False),
        (
            {"if_modified_since": "Mon, 23 Nov 2026 10:00:00 GMT"},
            {"last_modified": "Mon, 23 Nov 2026 10:00:00 GMT"},
            True,
        ),
        (
            {"if_modified_since": "Mon, 23 Nov 2026 10:00:00 GMT"},
            {"last_modified": "Mon, 23 Nov 2026 10:00:01 GMT"},
            False,
        ),
        ({"if_modified_since": "nonsense"}, {"last_modified": "nonsense"}, False),
        # The tag has the last word.
        (
            {"if_none_match": '"b"', "if_modified_since": "Mon, 23 Nov 2026 10:00:00 GMT"},
            {"etag": '"a"', "last_modified": "Mon, 23 Nov 2026 10:00:00 GMT"},
            False,
        ),
    ],
)
def test_conditions(asked: dict[str, str], answer: dict[str, str], unchanged: bool) -> None:
    assert policy.is_unchanged(heads(**asked), heads(**answer)) is unchanged


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({}, ()),
        ({"vary": "RSC, Accept-Encoding,,rsc"}, ("accept-encoding", "rsc")),
        ({"content_encoding": "gzip"}, ("accept-encoding",)),
        ({"content_encoding": "br", "vary": "rsc"}, ("accept-encoding", "rsc")),
    ],
)
def test_what_an_answer_depends_on(answer: dict[str, str], expected: tuple[str, ...]) -> None:
    assert policy.names_varied(heads(**answer)) == expected


@given(st.binary(max_size=60), st.integers(0, 5_000))
def test_any_range_lies_within_the_answer(text: bytes, size: int) -> None:
    span = policy.part(((b"range", b"bytes=" + text),), (), size)
    assert span is None or span == (-1, -1) or 0 <= span[0] < span[1] <= size


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bytes=0-9", (0, 10)),
        ("bytes=-5", (95, 100)),
        ("bytes=90-", (90, 100)),
        ("bytes=0-999", (0, 100)),
        ("bytes=-999", (0, 100)),
        ("bytes=100-", (-1, -1)),
        ("bytes=-0", (-1, -1)),
        ("bytes=9-0", None),
        ("bytes=0-1,5-6", None),
        ("items=0-1", None),
        ("", None),
    ],
)
def test_ranges(text: str, expected: tuple[int, int] | None) -> None:
    assert policy.part(heads(range=text), (), 100) == expected
    changed = policy.part(heads(range=text, if_range='"old"'), heads(etag='"new"'), 100)
    assert changed is None


@given(st.text(max_size=200))
def test_no_text_breaks_the_reading_of_directives(text: str) -> None:
    encoded = text.encode("utf-8", "replace")
    policy.lifetime(200, ((b"cache-control", encoded), (b"age", encoded), (b"vary", encoded)))
    policy.is_unchanged(((b"if-none-match", encoded), (b"if-modified-since", encoded)), ())
    policy.to_visitor(((b"cache-control", encoded),), kept=True)
