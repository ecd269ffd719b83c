"""Real builds: what comes out serves, what goes wrong says so, and what must not be seen is not."""

import asyncio
import json
import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from gantry.engines.builders.protocol import BuildOutcome, BuildRequest
from gantry.engines.builders.visitors_address import UNKNOWN
from gantry.engines.builders.watching import descendants
from gantry.engines.builders.workshop import LocalWorkshop
from gantry.engines.runtime.protocol import Limits
from gantry.engines.sources.store import FolderSourceStore
from gantry.kernel.errors import TransientError
from gantry.kernel.redact import MASK
from gantry.source.pack import pack
from tests.support.builders import (
    ASGI_APP,
    NODE_PACKAGE,
    NODE_SERVER,
    a_request,
    a_workshop,
    fetch,
    run_task,
    running,
    stream,
    write_tree,
)
from tests.support.next_cache import PAGES as CACHE_PAGES, next_product
from tests.support.next_pages import PAGES, check_addresses
from tests.support.platform import copy_of_smart_sign

pytestmark = pytest.mark.real

_SECRET = "correct-horse-battery"


@pytest.fixture
def workshop(tmp_path: Path) -> LocalWorkshop:
    return a_workshop(tmp_path / "home")


async def _build(workshop: LocalWorkshop, request: BuildRequest) -> tuple[BuildOutcome, str]:
    spec = await workshop.build_task(request)
    status, log = await run_task(spec)
    outcome = await workshop.outcome(spec.id)
    assert outcome is not None, log
    assert status == (1 if outcome.code else 0), log
    return outcome, log


def _command(tmp_path: Path, command: str, **changes: object) -> BuildRequest:
    """A request that runs one command, and keeps what it writes to `out`."""
    root = write_tree(tmp_path / "tree", {"a.txt": "a"})
    wanted: dict[str, object] = {"framework": "command", "command": command, "output": "out"}
    return a_request(root, **(wanted | changes))


async def test_a_node_server_serves(workshop: LocalWorkshop, tmp_path: Path) -> None:
    files = {"package.json": NODE_PACKAGE, "server.js": NODE_SERVER}
    outcome, log = await _build(workshop, a_request(write_tree(tmp_path / "tree", files)))
    assert outcome.artifact is not None, log
    with running(outcome.artifact, tmp_path) as port:
        status, _, body = fetch(port)
    assert status == 200
    assert json.loads(body)["env"] == "production"
    assert "==> collect (artifact)" in log
    assert set(outcome.phases) == {"prepare", "collect"}


async def test_a_static_site_serves(workshop: LocalWorkshop, tmp_path: Path) -> None:
    files = {
        "index.html": "<h1>home</h1>",
        "about.html": "about",
        "docs/index.html": "docs",
        "404.html": "lost",
        "assets/app-B1h2k3_a.js": "js",
        "app.js": "plain",
    }
    outcome, log = await _build(workshop, a_request(write_tree(tmp_path / "tree", files)))
    assert outcome.artifact is not None, log
    with running(outcome.artifact, tmp_path) as port:
        answers = {
            path: fetch(port, path)
            for path in ("/", "/about", "/docs/", "/nothing", "/assets/app-B1h2k3_a.js", "/app.js",
                         "/../../etc/passwd")
        }  # fmt: skip
    seen = {path: (status, body.decode()) for path, (status, _, body) in answers.items()}
    assert seen["/"] == (200, "<h1>home</h1>")
    assert seen["/about"] == (200, "about")
    assert seen["/docs/"] == (200, "docs")
    assert seen["/nothing"] == (404, "lost")
    assert seen["/../../etc/passwd"] == (404, "lost")
    assert "immutable" in answers["/assets/app-B1h2k3_a.js"][1]["cache-control"]
    assert "max-age=0" in answers["/app.js"][1]["cache-control"]
    assert answers["/app.js"][1]["etag"]


async def test_a_single_page_application_answers_every_page_with_its_own(
    workshop: LocalWorkshop, tmp_path: Path
) -> None:
    root = write_tree(tmp_path / "tree", {"index.html": "app", "assets/a.js": "js"})
    outcome, log = await _build(workshop, a_request(root))
    assert outcome.artifact is not None, log
    with running(outcome.artifact, tmp_path) as port:
        assert fetch(port, "/screens/7")[::2] == (200, b"app")
        assert fetch(port, "/assets/missing.js")[0] == 404


async def test_a_python_application_serves(workshop: LocalWorkshop, tmp_path: Path) -> None:
    root = write_tree(tmp_path / "tree", {"main.py": ASGI_APP})
    outcome, log = await _build(workshop, a_request(root))
    assert outcome.artifact is not None, log
    with running(outcome.artifact, tmp_path) as port:
        assert fetch(port)[::2] == (200, b"python")


async def test_secrets_reach_the_build_and_nothing_else(
    workshop: LocalWorkshop, tmp_path: Path
) -> None:
    look = "cat /proc/[0-9]*/cmdline | tr '\\0' '\\n' | grep -c c[o]rrect-horse; echo seen: $API_SECRET; exit 9"
    request = _command(
        tmp_path,
        look,
        env={"API_SECRET": _SECRET, "PLAIN": "v"},
        secret_names=frozenset({"API_SECRET"}),
    )
    spec = await workshop.build_task(request)
    handed = tmp_path / "home/builds/b-1/build.secrets"
    assert handed.stat().st_mode & 0o777 == 0o600
    assert _SECRET not in repr(spec)
    status, log = await run_task(spec)
    outcome = await workshop.outcome(spec.id)
    assert outcome is not None
    assert status == 1
    assert not handed.exists()
    assert _SECRET not in log
    assert _SECRET not in outcome.message
    assert f"seen: {MASK}" in log
    assert "\n0\n" in log, "no command line has it"
    for path in (tmp_path / "home/builds/b-1").rglob("*"):
        assert not path.is_file() or _SECRET not in path.read_text(errors="replace"), path


async def test_a_build_sees_only_what_it_may(workshop: LocalWorkshop, tmp_path: Path) -> None:
    probe = """
    mkdir out
    { id -u; ls /home /root 2>&1; cat /etc/shadow 2>&1; touch /usr/x /opt/gantry/node/x 2>&1; } > out/seen
    ls / > out/top; env | cut -d= -f1 | sort > out/env; touch /app/yes
    """
    outcome, log = await _build(workshop, _command(tmp_path, probe, env={"PLAIN": "v"}))
    assert outcome.artifact is not None, log
    seen = (outcome.artifact.root / "seen").read_text()
    assert not seen.startswith("0\n")
    assert seen.count("Read-only file system") + seen.count("Permission denied") >= 2
    assert "No such file" in seen, "there is no /etc/shadow"
    assert ".ssh" not in seen
    names = set((outcome.artifact.root / "env").read_text().split())
    assert "PLAIN" in names
    assert not {name for name in names if name.startswith(("GANTRY_HOME", "AWS", "PYTEST"))}


@pytest.mark.parametrize(
    ("command", "changes", "code", "says", "hint"),
    [
        ("echo first; echo 'TypeError: broken' >&2; exit 3", {}, "build.command-failed",
         "exited with 3: TypeError: broken", "on your machine"),
        ("node -e 'const a=[];for(;;)a.push(Buffer.alloc(1e7,1))'",
         {"limits": Limits(memory_bytes=200_000_000, processes=512)}, "build.out-of-memory",
         "limit of 200.0 MB", 'memory = "1 GB"'),
        ("echo waiting; sleep 60", {"timeout_s": 1.0}, "build.timeout", "within 1.0 s", "[build] timeout"),
        ("true", {}, "build.no-output", "looked for out", "[build] output"),
        ("mkdir out; truncate -s 3G out/large", {}, "build.output-too-large", "3.2 GB", "output"),
    ],
)  # fmt: skip
async def test_a_build_that_fails_says_why(
    workshop: LocalWorkshop,
    tmp_path: Path,
    command: str,
    changes: dict[str, object],
    code: str,
    says: str,
    hint: str,
) -> None:
    began_s = time.monotonic()
    outcome, log = await _build(workshop, _command(tmp_path, command, **changes))
    assert (outcome.code, outcome.artifact) == (code, None), log
    assert says in outcome.message
    assert hint in outcome.hint
    assert "==> failed" in log
    assert time.monotonic() - began_s < 30
    assert await workshop.list() == {}
    assert not list((tmp_path / "home").glob("artifacts/.new-*"))


async def test_a_lock_that_does_not_fit_is_named(workshop: LocalWorkshop, tmp_path: Path) -> None:
    package = '{"name": "a", "version": "1.0.0", "scripts": {"start": "node a.js"}, "dependencies": {"ms": "2.1.3"}}'
    lock = '{"name": "a", "version": "1.0.0", "lockfileVersion": 3, "requires": true, "packages": {"": {"name": "a"}}}'
    root = write_tree(tmp_path / "tree", {"package.json": package, "package-lock.json": lock})
    outcome, log = await _build(workshop, a_request(root))
    assert outcome.code == "build.lock-mismatch", log
    assert "ms@2.1.3" in outcome.message
    assert outcome.hint.startswith("npm install")


async def test_the_projects_tests_run_on_the_finished_build(
    workshop: LocalWorkshop, tmp_path: Path
) -> None:
    request = _command(
        tmp_path, "mkdir out; echo built > out/a", test='grep built out/a && test "$WHO" = me',
        env={"WHO": "me"},
    )  # fmt: skip
    outcome, _ = await _build(workshop, request)
    assert outcome.artifact is not None
    spec = await workshop.test_task(request)
    status, log = await run_task(spec)
    assert status == 0, log
    assert (await workshop.find(request)) == replace(outcome.artifact, tested=True)
    failing = replace(request, test="echo '1 test failed: adds up'; exit 1")
    status, log = await run_task(await workshop.test_task(failing))
    assert status == 1
    failed = await workshop.outcome("test-b-1")
    assert failed is not None
    assert failed.code == "test.failed"
    assert "1 test failed: adds up" in failed.message
    await workshop.discard("b-1")
    await run_task(await workshop.test_task(request))
    gone = await workshop.outcome("test-b-1")
    assert gone is not None
    assert gone.code == "test.no-build"


async def test_a_killed_build_leaves_no_outcome_and_no_process(
    workshop: LocalWorkshop, tmp_path: Path
) -> None:
    spec = await workshop.build_task(_command(tmp_path, "echo ready; sleep 300 & sleep 301"))
    process = await asyncio.create_subprocess_exec(
        *spec.argv, env=dict(spec.env), cwd=spec.cwd, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(20):
        while await process.stdout.readline() != b"ready\n":
            pass
    below = descendants(process.pid)
    assert len(below) > 2
    os.kill(process.pid, signal.SIGKILL)
    await process.wait()
    async with asyncio.timeout(10):
        while any(Path(f"/proc/{pid}/cmdline").exists() for pid in below):
            await asyncio.sleep(0.02)
    assert await workshop.outcome(spec.id) is None
    # It can be done again, in the same folder.
    again = await workshop.build_task(_command(tmp_path, "mkdir out; touch out/a"))
    assert (await run_task(again))[0] == 0


async def test_a_hostile_output_does_not_reach_out(workshop: LocalWorkshop, tmp_path: Path) -> None:
    secret = write_tree(tmp_path / "outside", {"secret": "s"})
    outcome, log = await _build(workshop, _command(tmp_path, f"ln -s {secret} out"))
    assert outcome.code == "build.no-output", log
    second = replace(_command(tmp_path, f"mkdir out; ln -s {secret}/secret out/a"), id="b-2")
    outcome, log = await _build(workshop, second)
    assert outcome.artifact is not None, log
    assert (outcome.artifact.root / "a").is_symlink()
    assert outcome.artifact.size_bytes == 0, "the link, not what it leads to"


async def test_a_full_machine_refuses_before_it_begins(
    workshop: LocalWorkshop, tmp_path: Path
) -> None:
    request = _command(tmp_path, "true", limits=Limits(memory_bytes=10**15))
    with pytest.raises(TransientError) as refusal:
        await workshop.build_task(request)
    assert refusal.value.code == "build.low-memory"


_VISITOR = {"Host": "shop.example:8443", "X-Forwarded-Host": "shop.example:8443", "X-Forwarded-Proto": "https"}  # fmt: skip


_COUNTS = """
import fs from "node:fs";
const kept = "node_modules/.astro/n";
const n = fs.existsSync(kept) ? Number(fs.readFileSync(kept, "utf8")) + 1 : 1;
fs.mkdirSync("node_modules/.astro", { recursive: true });
fs.writeFileSync(kept, String(n));
fs.mkdirSync("dist");
fs.writeFileSync("dist/index.html", `build ${n}`);
"""


async def test_a_build_without_the_cache_begins_with_nothing_and_leaves_its_own(
    workshop: LocalWorkshop, tmp_path: Path
) -> None:
    package = {
        "name": "site",
        "scripts": {"build": "node build.mjs"},
        "dependencies": {"astro": "file:./astro"},
    }
    files = {
        "package.json": json.dumps(package),
        "build.mjs": _COUNTS,
        "astro/package.json": '{"name": "astro", "version": "5.0.0"}',
    }
    request = a_request(write_tree(tmp_path / "tree", files))

    async def built(number: int, *, cached: bool = True) -> tuple[str, bool]:
        wanted = replace(request, id=f"b-{number}", fresh=str(number), cached=cached)
        outcome, log = await _build(workshop, wanted)
        assert outcome.artifact is not None, log
        return (outcome.artifact.root / "index.html").read_text(), "install" in outcome.phases

    assert await built(1) == ("build 1", True)
    assert await built(2) == ("build 2", False)
    assert await built(3, cached=False) == ("build 1", True)
    assert await built(4) == ("build 2", False)
    kept = await workshop.cache_bytes("shop")
    assert await workshop.clear_cache("shop") == kept > 0
    assert await built(5) == ("build 1", True)


# By default the example is built once, on the whole platform: tests/e2e/test_smart_sign.py.
@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_the_example_is_built_served_and_rebuilt_from_caches(
    workshop: LocalWorkshop, tmp_path: Path
) -> None:
    product = write_tree(copy_of_smart_sign(tmp_path), PAGES)
    (product / "instrumentation.ts").unlink()  # refuses to start without a database
    packed = pack(product)
    store = FolderSourceStore(tmp_path / "sources")
    snapshot = await store.receive(stream(*packed.chunks()), digest=packed.digest)
    request = a_request(
        snapshot.root,
        action_key="q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=",
        env={"NEXT_PUBLIC_API": "https://api.first.test"},
    )
    outcome, log = await _build(workshop, request)
    assert outcome.artifact is not None, log
    artifact = outcome.artifact
    assert UNKNOWN not in artifact.reasons
    assert artifact.assets == {"/_next/static": ".next/static"}
    assert (artifact.root / "server.js").is_file()
    manifests = (artifact.root / ".next").rglob("*.json")
    assert any(artifact.env["NEXT_DEPLOYMENT_ID"] in path.read_text() for path in manifests)
    with running(artifact, tmp_path) as port:
        check_addresses(lambda path: fetch(port, path, _VISITOR), "https://shop.example:8443")
    changed = replace(request, id="b-2", env={"NEXT_PUBLIC_API": "https://api.second.test"})
    outcome, log = await _build(workshop, changed)
    assert outcome.artifact is not None, log
    assert "install" not in outcome.phases, "packages came from the store"
    assert "No build cache found" not in log


_OWN_SERVER = """
import { createServer } from "node:http";
import next from "next";
const app = next({ dev: false, hostname: process.env.HOST, port: Number(process.env.PORT) });
await app.prepare();
createServer((request, answer) => {
  if (request.url === "/socket") return answer.end("of the product's own server");
  app.getRequestHandler()(request, answer);
}).listen(process.env.PORT, process.env.HOST);
"""


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.timeout(900)
async def test_next_that_a_product_starts_by_itself_is_at_its_visitors_address(
    workshop: LocalWorkshop, tmp_path: Path
) -> None:
    """By a server of its own, then by `next start` with the packages that the first build kept."""
    product = next_product(
        tmp_path / "product", {**PAGES, "app/layout.tsx": CACHE_PAGES["app/layout.tsx"]}
    )
    package = json.loads((product / "package.json").read_text())
    package["scripts"]["start"] = "node server.js"
    write_tree(product, {"package.json": json.dumps(package), "server.js": _OWN_SERVER})
    for start, own in (("", b"of the product's own server"), ("next start", b"404")):
        request = a_request(product, id=f"b-{len(start)}", start=start)
        outcome, log = await _build(workshop, request)
        assert outcome.artifact is not None, log
        assert UNKNOWN not in outcome.artifact.reasons
        with running(outcome.artifact, tmp_path) as port:
            check_addresses(lambda path: fetch(port, path, _VISITOR), "https://shop.example:8443")
            assert own in fetch(port, "/socket")[2]
        assert ("install" in outcome.phases) == (not start)
