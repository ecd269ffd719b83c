"""Counts failed logins, so that guessing is slow and shows."""

from collections import OrderedDict, deque

from gantry.kernel.clock import Clock
from gantry.web.errors import TooManyError

WINDOW_S = 60.0
MOST_FAILURES = 10
# Memory is bounded: the caller that failed longest ago is forgotten first.
MOST_CALLERS = 1_000


class Attempts:
    """Refuses a caller that failed 10 times within the last minute.

    Tokens have 256 random bits and cannot be guessed; this keeps the attempt from costing the database anything.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def check(self, caller: str) -> None:
        """Raise when `caller` must wait.

        Raises:
            TooManyError: `access.too-many-attempts`.
        """
        failures = self._failures.get(caller)
        if failures is None:
            return
        while failures and failures[0] <= self._clock.monotonic_s() - WINDOW_S:
            failures.popleft()
        if not failures:
            del self._failures[caller]
        elif len(failures) >= MOST_FAILURES:
            raise TooManyError(
                "access.too-many-attempts",
                "too many failed logins from here",
                hint="wait a minute, then make a new link with: gantry open",
            )

    def failed(self, caller: str) -> None:
        """Count one failure."""
        failures = self._failures.setdefault(caller, deque(maxlen=MOST_FAILURES))
        failures.append(self._clock.monotonic_s())
        self._failures.move_to_end(caller)
        while len(self._failures) > MOST_CALLERS:
            self._failures.popitem(last=False)
