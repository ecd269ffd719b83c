"""What people and machines do wrong: one clear message with a code, nothing lost, nothing left behind."""

import os
import signal
import time

import pytest

from tests.support.product import Product

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
EATS_MEMORY = 'node -e "const a=[];for(;;)a.push(Buffer.alloc(9e6,1))"'


@pytest.mark.parametrize(
    ("build", "code"),
    [
        ("command = \"sh -c 'echo no such luck; exit 3'\"", "build.command-failed"),
        ('command = "sleep 300"\ntimeout = "2s"', "build.timeout"),
        (f"command = '''{EATS_MEMORY}'''\nmemory = \"256 MB\"", "build.out-of-memory"),
    ],
    ids=["fails", "never ends", "eats memory"],
)
def test_a_bad_build(good: Product, build: str, code: str) -> None:
    good.with_build(build)
    said = good.refused(code, "deploy", str(good.folder))
    assert "hint" in said
    left = [path.name for path in (good.platform.home / "builds").glob("*")]
    assert left == [], "the build's folder is gone"


def test_a_broken_manifest_is_refused_before_anything_is_sent(good: Product) -> None:
    good.write()
    manifest = good.folder / "gantry.toml"
    manifest.write_text(manifest.read_text().replace("instances = 2", 'instance = "two"'))
    said = good.refused("manifest.invalid", "deploy", str(good.folder))
    assert "gantry.toml:8" in said
    assert "instances" in said, "the nearest valid name"


def test_a_corrupt_artifact_is_never_started(product: Product) -> None:
    platform = product.platform
    product.write(note=f"second {product.name}")
    product.deploy()
    (release,) = [
        one for one in platform.json("releases", "--project", product.name) if one["live"]
    ]
    os.kill(platform.control_pid(), signal.SIGKILL)
    time.sleep(0.2)
    servers = (platform.home / "artifacts").rglob("server.mjs")
    damaged = [path for path in servers if f"second {product.name}" in path.read_text()]
    assert len(damaged) == 1
    damaged[0].chmod(0o644)
    damaged[0].write_text(damaged[0].read_text().replace("second", "sEcond"))
    platform.run("up")
    # The running instances are not touched; the same tree is built anew, not taken from the shelf.
    assert product.live() == release["id"]
    product.deploy()
    again = [one for one in platform.json("releases", "--project", product.name) if one["live"]]
    assert again[0]["build"] != release["build"]
