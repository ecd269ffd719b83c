"""What the edge's cache counts."""

from gantry.engines.cache.numbers import read_status, status_of
from gantry.engines.cache.policy import Life
from gantry.engines.cache.protocol import CacheNumbers, CacheStatus
from gantry.engines.cache.store import Entry, Key, Store, size_of
from gantry.engines.cache.tally import Tally


class Watch:
    """A clock of seconds."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def entry(size: int, made_s: float = 0.0, life: Life | None = None) -> Entry:
    return Entry(200, (), b"x" * size, life or Life(60), made_s)


def test_what_is_older_than_an_hour_is_no_news() -> None:
    watch = Watch()
    tally = Tally(watch)
    tally.count("r-1", "hits")
    watch.now_s = 1800.0
    tally.count("r-1", "hits")
    tally.count("r-2", "misses")
    assert tally.lately() == {"r-1": {"hits": 2}, "r-2": {"misses": 1}}
    watch.now_s = 3660.0
    assert tally.lately() == {"r-1": {"hits": 1}, "r-2": {"misses": 1}}
    watch.now_s = 9000.0
    assert tally.lately() == {}
    tally.count("r-3", "stale")
    assert tally.lately() == {"r-3": {"stale": 1}}
    assert tally.total == {"hits": 2, "misses": 1, "stale": 1}


def test_what_nobody_could_have_been_given_is_not_missed() -> None:
    """Each takes some 4,200 of 10,000 bytes; the one in need 2,200."""
    store = Store(limit_bytes=10_000)
    assert store.put(Key("r-1", "a", "/old"), entry(2_500)) == ()
    in_need = Life(10, error_s=600)
    assert store.put(Key("r-1", "a", "/failing"), entry(500, 60.0, in_need)) == ()
    assert store.put(Key("r-2", "a", "/"), entry(2_500, 61.0)) == ()  # instead of /old
    assert store.put(Key("r-2", "a", "/more"), entry(2_500, 75.0)) == ()  # instead of /failing
    stale = Life(0, stale_s=60)
    assert store.put(Key("r-3", "a", "/stale"), entry(2_500, 76.0, stale)) == ("r-2",)
    assert store.put(Key("r-2", "a", "/more"), entry(2_500, 77.0)) == ()  # instead of itself
    assert store.put(Key("r-4", "a", "/"), entry(2_500, 78.0)) == ("r-3",)
    assert dict(store.entries_of) == {"r-2": 1, "r-4": 1}
    assert sum(store.bytes_of.values()) == store.size_bytes


def test_a_path_with_endless_queries_says_nothing_of_the_whole() -> None:
    store = Store(limit_bytes=10_000)
    assert store.put(Key("r-1", "a", "/page"), entry(500)) == ()
    for number in range(20):
        assert store.put(Key("r-1", "a", f"/?{number}"), entry(500)) == ()
    assert store.entries_of["r-1"] == 3


def test_the_process_is_understood() -> None:
    store, tally = Store(1_000_000), Tally(Watch())
    key, kept = Key("r-1", "a", "/"), entry(100)
    store.put(key, kept)
    size_bytes = size_of(key, kept)
    tally.count("r-1", "misses")
    tally.count("r-2", "bypassed")
    words = {
        "running": True,
        "limit_bytes": 1_000_000,
        "total": {"entries": 1, "size_bytes": size_bytes, "misses": 1, "bypassed": 1},
        "lately": {
            "r-1": {"entries": 1, "size_bytes": size_bytes, "misses": 1},
            "r-2": {"bypassed": 1},
        },
    }
    expected = CacheStatus(
        running=True,
        limit_bytes=1_000_000,
        total=CacheNumbers(entries=1, size_bytes=size_bytes, misses=1, bypassed=1),
        lately={
            "r-1": CacheNumbers(entries=1, size_bytes=size_bytes, misses=1),
            "r-2": CacheNumbers(bypassed=1),
        },
    )
    assert status_of(store, tally) == read_status(words) == expected
    assert expected.of(["r-1", "r-2"]) == expected.total
