"""What the benchmark of the edge's parts leaves out is there to be left out."""

import pytest
from benchmarks.edge_cost import PARTS, files_without

from gantry.engines.edge.protocol import Certificate
from gantry.engines.edge.render import EdgePaths

_PLACE = EdgePaths(
    directory="/srv/edge",
    admin_socket="/srv/admin.sock",
    inner_socket="/srv/inner.sock",
    addresses=("127.0.0.1",),
    http_port=80,
    https_port=443,
)
_CERTIFICATE = Certificate("local", ("a.localhost",), "chain", "key")


@pytest.mark.parametrize("part", PARTS)
def test_each_part_can_be_left_out(part: str) -> None:
    whole = files_without(None, _PLACE, 3000, _CERTIFICATE)
    assert files_without(PARTS[part], _PLACE, 3000, _CERTIFICATE) != whole
