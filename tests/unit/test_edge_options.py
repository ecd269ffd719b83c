"""The table of Envoy's options in docs/rooms/edge.md says what is rendered."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from gantry.engines.edge import render
from gantry.engines.edge.protocol import EdgeConfig, Site
from tests.unit.test_edge_render import CONFIG, PATHS, files

PAGE = Path(__file__).parents[2] / "docs" / "rooms" / "edge.md"
_ROW = re.compile(
    r"^\| ([a-z ]+) \| `([\w.]+)` \| [^|]* \| (?:`([^`]+)`|(default)) \| [^|]*\|$", re.M
)
ROWS = [row.groups() for row in _ROW.finditer(PAGE.read_text())]


def parts() -> dict[str, Any]:
    """Name of a part in the table -> what is rendered of it."""
    listeners = {one["name"]: one for one in files()[render.LDS]["resources"]}
    clusters = {one["name"]: one for one in files()[render.CDS]["resources"]}
    chain = listeners["https"]["default_filter_chain"]
    manager = chain["filters"][-1]["typed_config"]
    choice = manager["http_filters"][1]["typed_config"]["xds_matcher"]["matcher_list"]
    brotli = choice["matchers"][0]["on_match"]["action"]["typed_config"]["typed_config"]
    site = Site(("a.example",), "r-1")
    table = render.routes_files(EdgeConfig((site,)), "", PATHS)[render.RDS_HTTPS]["resources"][0]
    *_, safe, _, unsafe = table["virtual_hosts"][0]["routes"]
    (http,) = clusters["r-2"]["typed_extension_protocol_options"].values()
    return {
        "connections": manager,
        "listener": listeners["https"],
        "chain": chain,
        "tls": chain["transport_socket"]["typed_config"],
        "router": manager["http_filters"][-1]["typed_config"],
        "route": safe["route"],
        "unsafe route": unsafe["route"],
        "table": table,
        "compressor": brotli["typed_config"],
        "backend": clusters["r-2"],
        "instance": http,
        "bridge": listeners["bridge"]["filter_chains"][0]["filters"][-1]["typed_config"],
    }


def test_the_table_names_every_part() -> None:
    assert {part for part, *_ in ROWS} == parts().keys()
    assert len(ROWS) > 70
    assert len({(part, option) for part, option, *_ in ROWS}) == len(ROWS)
    table = PAGE.read_text().partition("## Every option")[2].partition("\n## ")[0]
    assert table.count("\n|") == len(ROWS) + 2, "a row is written in another way"
    assert CONFIG.sites


@pytest.mark.parametrize(("part", "option", "ours", "default"), ROWS)
def test_an_option_is_as_it_was_decided(part: str, option: str, ours: str, default: str) -> None:
    value: Any = parts()[part]
    for key in option.split("."):
        if default and key not in value:
            return
        value = value[key]
    assert not default, "it is set"
    assert value == json.loads(ours)
