"""Workers that a product has, by the scripts and the packages that start them."""

import re
from collections.abc import Iterator

from gantry.config.evidence.files import Files
from gantry.config.evidence.packages import Packages
from gantry.config.evidence.proposal import Findings, Proposal

_SCRIPT = re.compile(
    r"(?:start:)?(?:workers?|queue|jobs|start-worker)(?::([a-z0-9-]+))?", re.IGNORECASE
)
_WATCHES = re.compile(r"nodemon|--watch|\bwatch\b|ts-node-dev|\bdev\b")
_DIRECT = re.compile(r"(?:node|bun) [^&|;<>$]+")
_CELERY = re.compile(r"^(\w+)\s*(?::\s*\w+\s*)?=\s*Celery\(", re.MULTILINE)


def find_workers(files: Files, packages: Packages) -> Findings:
    """A worker for each script that is one; others as examples."""
    return Findings((*_scripts(packages), *_celery(files, packages), *_queues(packages)))


def _scripts(packages: Packages) -> Iterator[Proposal]:
    for script, text in packages.scripts.items():
        match = _SCRIPT.fullmatch(script)
        if match is None:
            continue
        name = (match[1] or "worker").lower()
        alone = not {f"pre{script}", f"post{script}"} & set(packages.scripts)
        # A program that is started directly gets its signals directly.
        command = text.strip() if alone and _DIRECT.fullmatch(text.strip()) else f"npm run {script}"
        reason = f"package.json has the script {script}: {text}"
        key = f"processes.worker.{name}.command"
        yield Proposal(key, command, reason, sure=not _WATCHES.search(text))


def _celery(files: Files, packages: Packages) -> Iterator[Proposal]:
    if not packages.first("celery"):
        return
    for path in (*files.matching("*.py"), *files.matching("*/*.py")):
        if _CELERY.search(files.text(path)):
            module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            # Django's own celery.py is found by its package's name.
            name = module.removesuffix(".celery")
            command = f"celery -A {name} worker --loglevel info"
            reason = f"{path} makes a Celery application"
            yield Proposal("processes.worker.celery.command", command, reason, sure=False)
            return


def _queues(packages: Packages) -> Iterator[Proposal]:
    for name, command in (
        ("rq", "rq worker --url $REDIS_URL"),
        ("arq", "arq worker.WorkerSettings"),
    ):
        if packages.first(name):
            reason = f"{packages.declared[name]} depends on {name}"
            yield Proposal(f"processes.worker.{name}.command", command, reason, sure=False)
