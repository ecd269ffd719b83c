"""What the edge's cache may keep and give."""

import gc
import os
import tracemalloc
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from hypothesis import given, strategies as st

from gantry.engines.cache import policy
from gantry.engines.cache.policy import Headers, Life
from gantry.engines.cache.protocol import Purge
from gantry.engines.cache.store import Entry, Key, Store


def heads(**values: str) -> Headers:
    return tuple(
        (name.replace("_", "-").encode(), value.encode()) for name, value in values.items()
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s-maxage=60", Life(60)),
        ("s-maxage=60, stale-while-revalidate=30", Life(60, 30)),
        ("public, max-age=10, s-maxage=60, stale-if-error=99", Life(60, 0, 99)),
        ("public, max-age=10", Life(10)),
        ("max-age=10", None),
        ("public", None),
        ("s-maxage=0", None),
        ("s-maxage=0, stale-while-revalidate=9", Life(0, 9)),
        ("s-maxage=60, private", None),
        ("s-maxage=60, no-store", None),
        ("s-maxage=60, no-cache", None),
        ('s-maxage=60, private="set-cookie"', None),
        ("S-MaxAge=60", Life(60)),
        ("s-maxage=60, must-revalidate, stale-while-revalidate=9", Life(60)),
        ("s-maxage=abc", None),
        ("s-maxage=-5", None),
        ("s-maxage=99999999999999", Life(31_536_000)),
        ('x="s-maxage=60"', None),
        ("", None),
    ],
)
def test_how_long_an_answer_lives(text: str, expected: Life | None) -> None:
    assert policy.life(200, heads(cache_control=text)) == expected


def test_what_is_said_to_caches_of_this_kind_comes_first() -> None:
    both = heads(cache_control="no-store", cdn_cache_control="max-age=60")
    assert policy.life(200, both) == Life(60)
    assert (
        policy.life(200, heads(cache_control="s-maxage=60", cdn_cache_control="no-store")) is None
    )
    assert policy.life(200, heads(cache_control="s-maxage=60", age="50")) == Life(10)


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
    assert policy.life(status, heads(cache_control="s-maxage=60", **more)) is None


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, Life(60)),
        ({"set_cookie": "a=b"}, Life(60)),
        ({"cache_control": "s-maxage=5"}, Life(5)),
        ({"cache_control": "private"}, None),
        ({"cache_control": "max-age=5"}, None),
        ({"cdn_cache_control": "no-store"}, None),
    ],
)
def test_what_is_unchanged_lives_on_as_the_product_says_now(
    said: dict[str, str], expected: Life | None
) -> None:
    assert policy.renewed(200, Life(60), heads(**said)) == expected


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
    policy.life(200, ((b"cache-control", encoded), (b"age", encoded), (b"vary", encoded)))
    policy.is_unchanged(((b"if-none-match", encoded), (b"if-modified-since", encoded)), ())
    policy.to_visitor(((b"cache-control", encoded),), kept=True)


# -- the store -------------------------------------------------------------------------------


def entry(body: bytes = b"x", **more: object) -> Entry:
    return Entry(200, (), body, Life(60), made_s=0.0, **more)  # type: ignore[arg-type]


def test_the_least_used_go_first() -> None:
    store = Store(limit_bytes=8_000)
    keys = [Key("r-1", "a", f"/{number}") for number in range(4)]
    for key in keys[:3]:
        store.put(key, entry(b"x" * 600))
    assert store.get(keys[0], ()) is not None
    store.put(keys[3], entry(b"x" * 600))
    assert [store.get(key, ()) is not None for key in keys] == [True, False, True, True]
    store.put(keys[1], entry(b"x" * 9_000))
    assert len(store) == 3, "what is larger than the room is not kept, and takes none away"


def _long_query(number: int) -> tuple[Key, Entry]:
    return Key("r-1", "a", f"/news/{number}?" + os.urandom(10_000).hex()), entry()


def _long_host(number: int) -> tuple[Key, Entry]:
    return Key("r-1", f"a:{number}" + "0" * 20_000, f"/{number}"), entry()


def _nothing_but_places(number: int) -> tuple[Key, Entry]:
    return Key("r-1", "a", f"/{number}"), entry(b"")


def _one_page_for_each_cookie(number: int) -> tuple[Key, Entry]:
    cookie = os.urandom(5_000)
    return Key("r-1", "a", f"/{number // 60}"), entry(varied=("cookie",), values=(cookie,))


def _many_tags(number: int) -> tuple[Key, Entry]:
    return Key("r-1", "a", f"/{number}"), entry(
        tags=frozenset(f"{number}-{one}" for one in range(90))
    )


def _many_headers(number: int) -> tuple[Key, Entry]:
    headers = tuple((os.urandom(4), os.urandom(4)) for _ in range(100))
    return Key("r-1", "a", f"/{number}"), Entry(200, headers, b"", Life(60), made_s=0.0)


@pytest.mark.parametrize(
    "make",
    [
        _long_query,
        _long_host,
        _nothing_but_places,
        _one_page_for_each_cookie,
        _many_tags,
        _many_headers,
    ],
)
def test_the_limit_is_one_of_memory_whatever_visitors_ask(
    make: Callable[[int], tuple[Key, Entry]],
) -> None:
    store = Store(limit_bytes=2_000_000)
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(2_000):
            store.put(*make(number))
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 1_800_000 < store.size_bytes <= 2_000_000
    # An index that grows is twice as large for a moment.
    assert taken < 1.1 * store.limit_bytes


def test_answers_are_chosen_by_what_the_product_varies() -> None:
    store, key = Store(100_000), Key("r-1", "a", "/")
    store.put(key, entry(b"html", varied=("rsc",), values=(b"",)))
    store.put(key, entry(b"rsc", varied=("rsc",), values=(b"1",)))
    found = [store.get(key, heads(**more)) for more in ({}, {"rsc": "1"}, {"rsc": "2"})]
    assert [one.body if one else None for one in found] == [b"html", b"rsc", None]
    store.put(key, entry(b"by language", varied=("accept-language",), values=(b"de",)))
    assert store.get(key, heads(rsc="1")) is None
    assert len(store) == 1


def test_variants_are_bounded() -> None:
    store, key = Store(10_000_000), Key("r-1", "a", "/")
    for number in range(500):
        store.put(key, entry(varied=("cookie",), values=(str(number).encode(),)))
    assert len(store) == 64


def test_the_least_used_variant_goes_first() -> None:
    store, key = Store(10_000_000), Key("r-1", "a", "/")
    store.put(key, entry(b"for all", varied=("cookie",), values=(b"",)))
    for number in range(500):
        store.put(key, entry(varied=("cookie",), values=(str(number).encode(),)))
        assert store.get(key, ()) is not None, "it is asked for all the time"
    assert len(store) == 64


def test_what_is_read_counts_until_it_was_read() -> None:
    store = Store(1_000_000)
    keys = [Key("r-1", "a", f"/{number}") for number in range(40)]
    kept = entry(b"x" * 90_000)
    store.put(keys[0], kept)
    with store.reading(kept):
        with store.reading(kept):
            for key in keys[1:20]:
                store.put(key, entry(b"x" * 90_000))
            assert store.get(keys[0], ()) is None
            assert store.size_bytes > 90_000 * (len(store) + 1)
        assert store.size_bytes > 90_000 * (len(store) + 1), "there is another one who reads"
    assert store.size_bytes < 92_000 * len(store)


def test_slow_readers_push_out_no_more_than_half() -> None:
    store, popular = Store(1_000_000), Key("r-1", "a", "/")
    store.put(popular, entry(b"x" * 90_000))
    with ExitStack() as readers:
        for number in range(40):
            slow = entry(b"x" * 90_000)
            store.put(Key("r-1", "a", f"/{number}"), slow)
            readers.enter_context(store.reading(slow))
            assert store.size_bytes <= store.limit_bytes
            assert store.get(popular, ()) is not None, "it is asked for all the time"
        assert len(store) > 3
    store.purge(Purge(("r-1",)))
    assert (len(store), store.size_bytes) == (0, 0)


def test_many_queries_take_no_room_from_other_paths() -> None:
    store = Store(1_000_000)
    page, others = Key("r-1", "a", "/news"), [Key("r-1", "a", f"/{number}") for number in range(40)]
    for key in (page, *others):
        store.put(key, entry(b"x" * 9_000))
    for number in range(500):
        query = Key("r-1", f"a:{number}", f"/news?x={number}")
        store.put(query, entry(b"x" * 9_000))
        assert store.get(page, ()) is not None, "it is asked for all the time"
    assert all(store.get(key, ()) is not None for key in others)
    assert 400_000 < store.size_bytes - 40 * 10_700 < 500_000
    store.purge(Purge(("r-1",), ("/news",)))
    assert len(store) == len(others)


@pytest.mark.parametrize(
    ("what", "left"),
    [
        (Purge(("r-1",)), {"r-2 /a"}),
        (Purge(("r-1", "r-2")), set()),
        (Purge(("r-3",)), {"r-1 /a", "r-1 /a?q=1", "r-1 /blog/one", "r-1+r-0 /b", "r-2 /a"}),
        (Purge(("r-1",), ("/a",)), {"r-1 /blog/one", "r-1+r-0 /b", "r-2 /a"}),
        (Purge(("r-1",), ("/b*",)), {"r-1 /a", "r-1 /a?q=1", "r-2 /a"}),
        (Purge(("r-0",), ("/b",)), {"r-1 /a", "r-1 /a?q=1", "r-1 /blog/one", "r-2 /a"}),
        (Purge(("r-1",), (), ("news",)), {"r-1 /a", "r-1 /a?q=1", "r-1+r-0 /b", "r-2 /a"}),
        (Purge(("r-1",), ("/a",), ("news",)), {"r-1+r-0 /b", "r-2 /a"}),
    ],
)
def test_purging(what: Purge, left: set[str]) -> None:
    store = Store(100_000)
    places = ("r-1 /a", "r-1 /a?q=1", "r-1 /blog/one", "r-1+r-0 /b", "r-2 /a")
    for place in places:
        backend, path = place.split()
        tags = frozenset({"news"} if "blog" in path else ())
        store.put(Key(backend, "a", path), entry(tags=tags))
    assert store.purge(what) == len(places) - len(left)
    kept = {
        place for place in places if store.get(Key(place.split()[0], "a", place.split()[1]), ())
    }
    assert kept == left


@pytest.mark.parametrize(
    ("path", "left"),
    [("/n/17", {"/n/18"}), ("/n/*", set()), ("/kept", set()), ("/n", {"/n/17", "/n/18"})],
)
def test_a_rewritten_address_is_purged_by_both_names(path: str, left: set[str]) -> None:
    store = Store(100_000)
    for asked in ("/n/17", "/n/18"):
        store.put(Key("r-1", "a", "/kept?x=1", asked), entry())
    store.purge(Purge(("r-1",), (path,)))
    found = {one for one in ("/n/17", "/n/18") if store.get(Key("r-1", "a", "/kept?x=1", one), ())}
    assert found == left


@pytest.mark.parametrize(
    "path", ["/news/%C3%A4%20b", "/news/%c3%a4%20b", "/news/ä b", "/news/ä*", "/news/%C3*"]
)
def test_an_address_is_purged_however_it_is_written(path: str) -> None:
    store = Store(100_000)
    store.put(Key("r-1", "a", "/news/%C3%A4%20b?x=1"), entry())
    store.put(Key("r-1", "a", "/news/other"), entry())
    assert store.purge(Purge(("r-1",), (path,))) == 1


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from(["", "1", "2"]), st.integers(0, 3_000)),
        max_size=60,
    )
)
def test_the_store_never_holds_more_than_its_limit(
    steps: list[tuple[str, str, int]],
) -> None:
    store = Store(limit_bytes=9_000)
    for path, value, size in steps:
        made = entry(b"x" * size, varied=("v",), values=(value.encode(),))
        store.put(Key("r", "h", path), made)
        assert store.size_bytes <= 9_000
    store.purge(Purge(("r",)))
    assert (len(store), store.size_bytes) == (0, 0)
