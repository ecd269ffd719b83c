"""Answers in memory: the least used go first when there is no room, and no path takes all of it."""

from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import unquote

from gantry.cache.policy import Headers, Lifetime, variant
from gantry.kernel.edge_names import asked

# What Python takes besides the text, measured with tracemalloc (3.11): an entry with its key and its places in the
# store up to 1,600 bytes, a header 134, a tag or a varied header up to 155. A test measures it again.
_ENTRY_BYTES = 1_700
_PART_BYTES = 160
_MAX_VARIANTS = 64
# One path, with all its queries, has half of the room at most: images that a product resizes are one path.
_MIN_PATHS = 2


@dataclass(frozen=True, slots=True)
class Key:
    """Address of an answer: everything but the headers that choose between answers.

    Attributes:
        path: with the query, as the product sees it.
        asked: the path that the visitor asked for, where a rewrite made another of it; without the query, which
            `path` has as well.
    """

    backend: str
    host: str
    path: str
    asked: str = ""

    @property
    def path_only(self) -> int:
        """Whose share of the room it takes: of the path, with any host and query."""
        return hash((self.backend, self.path.partition("?")[0]))


# Where one answer is kept: its key, and the values of the headers that choose.
Slot = tuple[Key, tuple[bytes, ...]]


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer that is kept.

    Attributes:
        varied: names of request headers that choose between the answers of one key.
        values: what they were.
        made_s: when it was made or found unchanged, on a clock that does not jump.
        age_s: how old it was when it came.
    """

    status: int
    headers: Headers
    body: bytes
    lifetime: Lifetime
    made_s: float
    age_s: float = 0.0
    varied: tuple[str, ...] = ()
    values: tuple[bytes, ...] = ()
    tags: frozenset[str] = frozenset()

    def age_at(self, now_s: float) -> float:
        """How old it is, in seconds."""
        return now_s - self.made_s + self.age_s

    def is_of_use(self, now_s: float) -> bool:
        """Whether it may be given, be it while a newer one is fetched; not: in need only."""
        return self.age_at(now_s) < self.lifetime.fresh_s + self.lifetime.stale_s


def size_of(key: Key, entry: StoredAnswer) -> int:
    """Bytes that an answer takes: also what visitors make as long as they like, not only what the product says."""
    headers = sum(len(name) + len(value) for name, value in entry.headers)
    texts = (key.backend, key.host, key.path, key.asked, *entry.varied, *entry.values, *entry.tags)
    parts = len(entry.headers) + len(entry.varied) + len(entry.tags)
    return len(entry.body) + headers + sum(map(len, texts)) + parts * _PART_BYTES + _ENTRY_BYTES


class _PathShares:
    """What each path takes of the room, so that none takes all of it.

    Anybody can ask for one path with as many queries as they like. Without a bound the answers would take the room of all
    other pages; with one they take it from each other. A path is a number: visitors choose how long one is.
    """

    def __init__(self) -> None:
        # The slots of each path in the order of their use, with what they take.
        self._slots: dict[int, OrderedDict[Slot, int]] = {}
        self._bytes: Counter[int] = Counter()

    def add(self, path: int, slot: Slot, size_bytes: int) -> None:
        """Note that there is an answer at `slot` now."""
        self._slots.setdefault(path, OrderedDict())[slot] = size_bytes
        self._bytes[path] += size_bytes

    def use(self, path: int, slot: Slot) -> None:
        """Note that a visitor got it."""
        self._slots[path].move_to_end(slot)

    def remove(self, path: int, slot: Slot) -> None:
        """Note that it is gone."""
        self._bytes[path] -= self._slots[path].pop(slot)
        if not self._slots[path]:
            del self._slots[path], self._bytes[path]

    def least_used(self, path: int, limit_bytes: int) -> Slot | None:
        """The slot that has to go from a path that takes more than `limit_bytes`."""
        return next(iter(self._slots[path])) if self._bytes[path] > limit_bytes else None


@dataclass(slots=True)
class Store:
    """Stored answers by key and variant.

    Parameters:
        limit_bytes: of all answers together, with those that are gone and still read.

    Attributes:
        entries_of, bytes_of: backend -> how many answers of it are kept, and what they take.
    """

    limit_bytes: int
    size_bytes: int = 0
    entries_of: Counter[str] = field(default_factory=Counter)
    bytes_of: Counter[str] = field(default_factory=Counter)
    _entries: OrderedDict[Slot, StoredAnswer] = field(default_factory=OrderedDict)
    _varied: dict[Key, tuple[str, ...]] = field(default_factory=dict)
    _variants: dict[Key, list[tuple[bytes, ...]]] = field(default_factory=dict)
    _shares: _PathShares = field(default_factory=_PathShares)
    # By identity of the entry: how many read it, and what it takes if it is gone.
    _readers: Counter[int] = field(default_factory=Counter)
    _gone: dict[int, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key, request: Headers) -> StoredAnswer | None:
        """The answer to `request`, however old."""
        names = self._varied.get(key)
        if names is None:
            return None
        slot = key, variant(names, request)
        found = self._entries.get(slot)
        if found is not None:
            self._entries.move_to_end(slot)
            self._shares.use(key.path_only, slot)
            variants = self._variants[key]
            if len(variants) > 1:
                variants.append(variants.pop(variants.index(slot[1])))
        return found

    def varied(self, key: Key) -> tuple[str, ...] | None:
        """Names of the headers that choose between the answers to `key`, as far as it is known."""
        return self._varied.get(key)

    def put(self, key: Key, entry: StoredAnswer) -> tuple[str, ...]:
        """Keep an answer that was made just now; others make room.

        Returns:
            The backends of those that could still have been given: where there are any, there is too little room.
        """
        if self._varied.get(key, entry.varied) != entry.varied:
            self._drop_key(key)  # the product chooses by other headers now
        self._drop(key, entry.values)
        while self._variants.get(key) and len(self._variants[key]) >= _MAX_VARIANTS:
            self._drop(key, self._variants[key][0])
        self._entries[key, entry.values] = entry
        self._varied[key] = entry.varied
        self._variants.setdefault(key, []).append(entry.values)
        self._count(key, entry, 1)
        self._shares.add(key.path_only, (key, entry.values), size_of(key, entry))
        # A path with endless queries always has too little room: that says nothing of the whole.
        path_limit_bytes = self.limit_bytes // _MIN_PATHS
        while slot := self._shares.least_used(key.path_only, path_limit_bytes):
            self._drop(*slot)
        early = list[str]()
        while self.size_bytes > self.limit_bytes and self._entries:
            # Those who read slowly what is gone must not push out the rest.
            newest_goes = sum(self._gone.values()) > self.limit_bytes // 2
            slot = next(reversed(self._entries) if newest_goes else iter(self._entries))
            if self._entries[slot].is_of_use(entry.made_s):
                early.append(slot[0].backend)
            self._drop(*slot)
        return tuple(early)

    @contextmanager
    def reading(self, entry: StoredAnswer) -> Iterator[None]:
        """Within the block its memory is not free, even if it makes room for others: it goes on to count."""
        name = id(entry)
        self._readers[name] += 1
        try:
            yield
        finally:
            self._readers[name] -= 1
            if not self._readers[name]:
                del self._readers[name]
                self.size_bytes -= self._gone.pop(name, 0)

    def drop(self, key: Key, request: Headers) -> None:
        """Forget the answer to `request`, if there is one."""
        names = self._varied.get(key)
        if names is not None:
            self._drop(key, variant(names, request))

    def purge(
        self,
        backends: Collection[str],
        paths: Collection[str] = (),
        tags: Collection[str] = (),
    ) -> int:
        """Forget what has one of the paths or one of the tags; without any, everything of the backends.

        Parameters:
            backends: one that is several counts when one of them is named.
            paths: as visitors ask for them, or as the product sees them; one that ends in `*` stands for all that begin so.

        Returns:
            How many answers were forgotten.
        """
        is_meant = _filter(frozenset(backends), paths, frozenset(tags))
        chosen = [slot for slot, entry in self._entries.items() if is_meant(slot[0], entry)]
        for key, values in chosen:
            self._drop(key, values)
        return len(chosen)

    def _drop(self, key: Key, values: tuple[bytes, ...]) -> None:
        entry = self._entries.pop((key, values), None)
        if entry is None:
            return
        self._count(key, entry, -1)
        if id(entry) in self._readers:
            self._gone[id(entry)] = size_of(key, entry)
            self.size_bytes += self._gone[id(entry)]
        self._shares.remove(key.path_only, (key, values))
        self._variants[key].remove(values)
        if not self._variants[key]:
            del self._variants[key], self._varied[key]

    def _count(self, key: Key, entry: StoredAnswer, sign: int) -> None:
        size_bytes = sign * size_of(key, entry)
        self.size_bytes += size_bytes
        self.bytes_of[key.backend] += size_bytes
        self.entries_of[key.backend] += sign
        if not self.entries_of[key.backend]:
            del self.entries_of[key.backend], self.bytes_of[key.backend]

    def _drop_key(self, key: Key) -> None:
        for values in tuple(self._variants.get(key, ())):
            self._drop(key, values)


def _filter(
    backends: frozenset[str], paths: Collection[str], tags: frozenset[str]
) -> Callable[[Key, StoredAnswer], bool]:
    """What a purge is about."""
    spellings = {spelling for path in paths for spelling in (path, unquote(path))}
    exact = {path for path in spellings if not path.endswith("*")}
    beginnings = tuple(path[:-1] for path in spellings if path.endswith("*"))
    everything = not paths and not tags

    def is_meant(key: Key, entry: StoredAnswer) -> bool:
        if backends.isdisjoint(asked(key.backend)):
            return False
        if everything or tags & entry.tags:
            return True
        # By the product's path and by the visitor's, as they were sent and as browsers show them.
        sent = (key.path.partition("?")[0], key.asked)
        shown = tuple(unquote(path) for path in sent if "%" in path)
        return any(path in exact or path.startswith(beginnings) for path in (*sent, *shown))

    return is_meant
