"""The store of the edge's cache: what goes first, what counts, and what is purged."""

import gc
import os
import tracemalloc
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from hypothesis import given, strategies as st

from gantry.cache.policy import Headers, Lifetime
from gantry.cache.store import Key, Store, StoredAnswer


def heads(**values: str) -> Headers:
    return tuple(
        (name.replace("_", "-").encode(), value.encode()) for name, value in values.items()
    )


def entry(body: bytes = b"x", **more: object) -> StoredAnswer:
    return StoredAnswer(200, (), body, Lifetime(60), made_s=0.0, **more)  # type: ignore[arg-type]


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


def _long_query(number: int) -> tuple[Key, StoredAnswer]:
    return Key("r-1", "a", f"/news/{number}?" + os.urandom(10_000).hex()), entry()


def _long_host(number: int) -> tuple[Key, StoredAnswer]:
    return Key("r-1", f"a:{number}" + "0" * 20_000, f"/{number}"), entry()


def _nothing_but_places(number: int) -> tuple[Key, StoredAnswer]:
    return Key("r-1", "a", f"/{number}"), entry(b"")


def _one_page_for_each_cookie(number: int) -> tuple[Key, StoredAnswer]:
    cookie = os.urandom(5_000)
    return Key("r-1", "a", f"/{number // 60}"), entry(varied=("cookie",), values=(cookie,))


def _many_tags(number: int) -> tuple[Key, StoredAnswer]:
    return Key("r-1", "a", f"/{number}"), entry(
        tags=frozenset(f"{number}-{tag}" for tag in range(90))
    )


def _many_headers(number: int) -> tuple[Key, StoredAnswer]:
    headers = tuple((os.urandom(4), os.urandom(4)) for _ in range(100))
    return Key("r-1", "a", f"/{number}"), StoredAnswer(200, headers, b"", Lifetime(60), made_s=0.0)


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
    make: Callable[[int], tuple[Key, StoredAnswer]],
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
    assert [answer.body if answer else None for answer in found] == [b"html", b"rsc", None]
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
    store.purge(("r-1",))
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
    store.purge(("r-1",), ("/news",))
    assert len(store) == len(others)


@pytest.mark.parametrize(
    ("what", "left"),
    [
        ((("r-1",),), {"r-2 /a"}),
        ((("r-1", "r-2"),), set()),
        ((("r-3",),), {"r-1 /a", "r-1 /a?q=1", "r-1 /blog/one", "r-1+r-0 /b", "r-2 /a"}),
        (
            (
                ("r-1",),
                ("/a",),
            ),
            {"r-1 /blog/one", "r-1+r-0 /b", "r-2 /a"},
        ),
        (
            (
                ("r-1",),
                ("/b*",),
            ),
            {"r-1 /a", "r-1 /a?q=1", "r-2 /a"},
        ),
        (
            (
                ("r-0",),
                ("/b",),
            ),
            {"r-1 /a", "r-1 /a?q=1", "r-1 /blog/one", "r-2 /a"},
        ),
        (
            (
                ("r-1",),
                (),
                ("news",),
            ),
            {"r-1 /a", "r-1 /a?q=1", "r-1+r-0 /b", "r-2 /a"},
        ),
        (
            (
                ("r-1",),
                ("/a",),
                ("news",),
            ),
            {"r-1+r-0 /b", "r-2 /a"},
        ),
    ],
)
def test_purging(what: tuple[tuple[str, ...], ...], left: set[str]) -> None:
    store = Store(100_000)
    places = ("r-1 /a", "r-1 /a?q=1", "r-1 /blog/one", "r-1+r-0 /b", "r-2 /a")
    for place in places:
        backend, path = place.split()
        tags = frozenset({"news"} if "blog" in path else ())
        store.put(Key(backend, "a", path), entry(tags=tags))
    assert store.purge(*what) == len(places) - len(left)
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
    store.purge(("r-1",), (path,))
    found = {
        asked for asked in ("/n/17", "/n/18") if store.get(Key("r-1", "a", "/kept?x=1", asked), ())
    }
    assert found == left


@pytest.mark.parametrize(
    "path", ["/news/%C3%A4%20b", "/news/%c3%a4%20b", "/news/ä b", "/news/ä*", "/news/%C3*"]
)
def test_an_address_is_purged_however_it_is_written(path: str) -> None:
    store = Store(100_000)
    store.put(Key("r-1", "a", "/news/%C3%A4%20b?x=1"), entry())
    store.put(Key("r-1", "a", "/news/other"), entry())
    assert store.purge(("r-1",), (path,)) == 1


# -- what is counted as too little room ------------------------------------------------------


def page(size: int, made_s: float = 0.0, lifetime: Lifetime | None = None) -> StoredAnswer:
    return StoredAnswer(200, (), b"x" * size, lifetime or Lifetime(60), made_s)


def test_what_nobody_could_have_been_given_is_not_missed() -> None:
    """Each takes some 4,200 of 10,000 bytes; the one in need 2,200."""
    store = Store(limit_bytes=10_000)
    assert store.put(Key("r-1", "a", "/old"), page(2_500)) == ()
    in_need = Lifetime(10, error_s=600)
    assert store.put(Key("r-1", "a", "/failing"), page(500, 60.0, in_need)) == ()
    assert store.put(Key("r-2", "a", "/"), page(2_500, 61.0)) == ()  # instead of /old
    assert store.put(Key("r-2", "a", "/more"), page(2_500, 75.0)) == ()  # instead of /failing
    stale = Lifetime(0, stale_s=60)
    assert store.put(Key("r-3", "a", "/stale"), page(2_500, 76.0, stale)) == ("r-2",)
    assert store.put(Key("r-2", "a", "/more"), page(2_500, 77.0)) == ()  # instead of itself
    assert store.put(Key("r-4", "a", "/"), page(2_500, 78.0)) == ("r-3",)
    assert dict(store.entries_of) == {"r-2": 1, "r-4": 1}
    assert sum(store.bytes_of.values()) == store.size_bytes


def test_a_path_with_endless_queries_says_nothing_of_the_whole() -> None:
    store = Store(limit_bytes=10_000)
    assert store.put(Key("r-1", "a", "/page"), page(500)) == ()
    for number in range(20):
        assert store.put(Key("r-1", "a", f"/?{number}"), page(500)) == ()
    assert store.entries_of["r-1"] == 3


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
    store.purge(("r",))
    assert (len(store), store.size_bytes) == (0, 0)
