"""How pytest runs under `benchmarks.mutation`, which copies this file beside the mutants.

Examples are the same in each run, and a busy machine fails none: only the fault may decide. A counterexample is as good
as the smallest one, so it is not made smaller. Tables come before properties, because they are done sooner.
"""

import pytest
from hypothesis import HealthCheck, Phase, is_hypothesis_test, settings

settings.register_profile(
    "mutation",
    derandomize=True,
    database=None,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=tuple(HealthCheck),
)
settings.load_profile("mutation")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Properties last."""
    items.sort(key=lambda item: is_hypothesis_test(getattr(item, "obj", None)))
