"""Bad candidates in numbers: `python -m benchmarks.rollout [--rounds N]`.

A release with 5 % errors is deployed as a canary at 5 % while strict clients send 200 requests a second: how long after
its first request it is taken back, and what share of the visitors' requests it had served. A release that is no worse
is deployed in the same run, as the baseline: it must not be taken back.
"""

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from tests.e2e.test_canary import ONE_IN_TWENTY, rollout, write
from tests.support.platform import fresh_platform
from tests.support.product import SERVER, Product

_CONNECTIONS, _PAUSE_S = 40, 0.2


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5, help="bad candidates, and good ones")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gantry-bench-") as scratch, fresh_platform() as up:
        product = Product(up, Path(scratch) / "small", "small")
        write(product)
        product.deploy()
        rounds = range(options.rounds)
        bad = [_candidate(product, ONE_IN_TWENTY, f"bad {number}") for number in rounds]
        good = [_candidate(product, SERVER, f"good {number}") for number in rounds]
    table = Table("what", "measured", "baseline", "aim", title="Canaries at 5 %, then 50 %")
    taken_s = [one["seconds"] for one in bad]
    table.add_row(
        "a candidate with 5 % errors is taken back after",
        f"median {statistics.median(taken_s):.1f} s, slowest {max(taken_s):.1f} s",
        f"a good one goes live after {statistics.median([one['seconds'] for one in good]):.1f} s",
        "under 15 s",
    )
    rate = statistics.mean([one["rate"] for one in bad])
    table.add_row(
        "share of all requests that it served",
        f"median {statistics.median([one['share'] for one in bad]):.1%}, most {max(one['share'] for one in bad):.1%}",
        f"{rate:.0f} requests a second",
        "at most its stage: 5 %",
    )
    table.add_row(
        "verdicts that were wrong",
        f"{sum(one['state'] != 'failed' for one in bad)} of {len(bad)} bad, "
        f"{sum(one['state'] != 'passed' for one in good)} of {len(good)} good",
        f"{sum(one['failures'] for one in good)} requests failed with good ones",
        "0",
    )
    Console(width=140).print(table)


def _candidate(product: Product, server: str, note: str) -> dict[str, Any]:
    """Deploy one under load, and what became of it."""
    write(product, server=server, note=note)
    with product.visitors("/shop", connections=_CONNECTIONS, pause_s=_PAUSE_S) as tally:
        product.deploy(check=False)
    ended = rollout(product)
    candidate = ended["candidate"]
    first_s, last_s = tally["first_seen_s"][candidate], tally["last_seen_s"][candidate]
    lasted_s = max(tally["last_seen_s"].values()) - min(tally["first_seen_s"].values())
    rate = tally["requests"] / lasted_s
    return {
        "state": ended["state"],
        "seconds": last_s - first_s if ended["state"] != "passed" else ended["elapsed_s"],
        "share": tally["releases"][candidate] / (rate * max(1.0, last_s - first_s)),
        "rate": rate,
        "failures": tally["failures"],
    }


if __name__ == "__main__":
    main()
