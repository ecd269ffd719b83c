"""Visitors of the drill's product, in a process of their own."""

import asyncio
import json
import random
import socket
import sys
from dataclasses import asdict, replace
from itertools import chain, repeat
from pathlib import Path

from gantry.drill.client import stopped_by, visit
from gantry.drill.exchange import Target
from gantry.drill.person import Crowd, Person
from gantry.drill.product import KEPT_PATH
from gantry.drill.witness import Witness, discard_waiting
from gantry.features.drills.visitors import Habit

# 40 visitors who pause for 0.2 s in the mean ask 200 times a second. Were all pauses the same, they would go in step from
# the first moment on in which all of them had to wait, and come as forty at once.
_PAUSE_S = (0.1, 0.3)
_SIZES = {Habit.REGULAR: 20, Habit.STRANGER: 14, Habit.PAGE: 3, Habit.READER: 3}


def people(target: Target, crowd: Crowd) -> list[Person]:
    """Everybody."""
    habits = chain.from_iterable(repeat(habit, count) for habit, count in _SIZES.items())
    kept = replace(target, path=KEPT_PATH)
    return [
        Person(number, habit, kept if habit is Habit.READER else target, crowd)
        for number, habit in enumerate(habits)
    ]


async def come(target: Target, stop: Path, witness_fd: int) -> dict[str, object]:
    """Everybody asks until `stop` exists; what they and the witness say."""
    crowd = Crowd()
    everybody = people(target, crowd)
    made = socket.socket(fileno=witness_fd)
    discard_waiting(made)
    loop, chance = asyncio.get_running_loop(), random.Random(0)
    transport, witness = await loop.create_datagram_endpoint(Witness, sock=made)
    try:
        await visit(target, everybody, stopped_by(stop), pause=lambda: chance.uniform(*_PAUSE_S))
    finally:
        transport.close()
    trails = [one.trail() for one in everybody if one.habit in (Habit.REGULAR, Habit.PAGE)]
    return {**asdict(crowd), "trails": trails, **witness.summary()}


def main() -> None:
    """`python -m gantry.drill.crowd TARGET STOP_FILE WITNESS_FD`: the target is JSON, and so is what is printed."""
    target, stop, witness_fd = sys.argv[1:]
    seen = asyncio.run(come(Target(**json.loads(target)), Path(stop), int(witness_fd)))
    sys.stdout.write(json.dumps(seen) + "\n")


if __name__ == "__main__":
    main()
