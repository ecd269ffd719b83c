"""How much memory the edge may use, and in which order it lets go of what."""

import pytest

from gantry.engines.edge.overload import (
    MAX_HEAP_BYTES,
    MIN_HEAP_BYTES,
    heap_bytes,
    max_connections,
    overload_manager,
)

GB = 1024**3


@pytest.mark.parametrize(
    ("memory", "heap"),
    [
        (GB, MIN_HEAP_BYTES),
        (4 * GB, GB // 2),
        (8 * GB, GB),
        (64 * GB, MAX_HEAP_BYTES),
    ],
)
def test_the_heap_follows_the_machine(memory: int, heap: int) -> None:
    assert heap_bytes(memory) == heap
    assert max_connections(heap) * 25_000 <= heap
    assert max_connections(MAX_HEAP_BYTES) == 20_000


def test_what_nobody_notices_comes_before_what_everybody_does() -> None:
    manager = overload_manager(GB)
    begins = {
        action["name"].rpartition(".")[2]: next(
            trigger["threshold"]["value"]
            if "threshold" in trigger
            else trigger["scaled"]["scaling_threshold"]
            for trigger in action["triggers"]
        )
        for action in manager["actions"]
    }
    mild, strong = "reset_high_memory_stream", "stop_accepting_requests"
    order = [
        "reduce_timeouts",
        "shrink_heap",
        "close_idle_http_connections",
        mild,
        "disable_http_keepalive",
        strong,
        "stop_accepting_connections",
        "reject_incoming_connections",
    ]
    assert sorted(begins, key=begins.__getitem__) == sorted(order, key=begins.__getitem__)
    assert [begins[name] for name in order] == sorted(begins.values())
    assert begins[mild] < begins[strong] < 1
    assert manager["buffer_factory_config"]["minimum_account_to_track_power_of_two"] <= 16
