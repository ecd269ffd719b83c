"""What the edge's cache counts."""

from gantry.cache.tally import Tally


class Watch:
    """A clock of seconds."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


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
