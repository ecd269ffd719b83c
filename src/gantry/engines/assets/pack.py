"""Makes the compressed variants: `python -m gantry.engines.assets.pack ASSETS`.

A process of its own, at the machine's lowest priority: it takes only time that nobody else wants, and survives the control
plane. Until it is through, contents are served as they are. Killed at any point it goes on where it was.
"""

import os
import sys
from pathlib import Path

from gantry.engines.assets import files
from gantry.engines.assets.store import AssetStore
from gantry.engines.assets.variants import variants
from gantry.kernel.units import counted

_NICENESS = 19


def pack(folder: Path) -> int:
    """Compress what is not compressed yet, and link it; returns the number of contents.

    One at a time: who comes second waits, and finds only what the first has not seen.
    """
    store = AssetStore(folder)
    with files.locked(folder / "packing"):
        waiting = store.unpacked()
        # The smallest first: most files get their variants soon.
        for content, place in sorted(waiting.items(), key=lambda item: _size_bytes(item[1])):
            try:
                read = place.read_bytes()
            except FileNotFoundError:
                continue  # its last build has gone meanwhile
            store.add_variants(content, variants(read))
        store.refresh()
    return len(waiting)


def _size_bytes(place: Path) -> int:
    try:
        return place.stat().st_size
    except FileNotFoundError:
        return 0


def main(argv: list[str]) -> None:
    """Pack the store whose folder `argv` names."""
    os.nice(_NICENESS)
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    sys.stdout.write(f"{counted(pack(Path(argv[0])), 'file')} compressed\n")


if __name__ == "__main__":
    main(sys.argv[1:])
