"""The steps of an upgrade, as commands use them."""

import os
import pwd
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from pydantic import TypeAdapter, ValidationError

from gantry.app.engines import make_engines
from gantry.app.errors import MachineError, MachineFault
from gantry.app.lock import HomeLock
from gantry.app.service import Service, Supervised, is_supervised
from gantry.app.token_file import read_token
from gantry.app.upgrading.handover import (
    Handover,
    Progress,
    Unsupervised,
)
from gantry.app.upgrading.install import check_folder, install, program_in, source_of
from gantry.app.upgrading.place import Place
from gantry.app.upgrading.rules import Observed, check_before, check_next
from gantry.cli.platform import UpgradeReport
from gantry.config.settings import Settings
from gantry.engines.postgres.admin import Address
from gantry.features.deploys.model import DeployState
from gantry.features.platform.bodies import ProjectBody
from gantry.kernel.errors import GantryError
from gantry.kernel.names import API_PREFIX

_ASK_TIMEOUT_S = 10.0
_PROJECTS = TypeAdapter(tuple[ProjectBody, ...])


def look(settings: Settings, source: str, cwd: Path) -> UpgradeReport:
    """See `Platform.look_for_upgrade`."""
    place = _place()
    present = program_in(place.folder)
    observed = _observe(settings, place)
    shown = source_of(place, source, cwd).shown
    return UpgradeReport(shown, present.version, "", observed.runs, check_before(present, observed))


def install_beside(
    settings: Settings, source: str, cwd: Path, progress: Progress, *, again: bool
) -> UpgradeReport:
    """See `Platform.install_beside`."""
    place = _place()
    present, wanted = program_in(place.folder), source_of(place, source, cwd)
    with _machine_faults(), place.held():
        progress(f"installing {wanted.shown} in {place.next}")
        install(place, wanted)
        successor = program_in(place.next)
        observed = _observe(settings, place)
    findings = check_next(present, successor, observed, again=again)
    return UpgradeReport(wanted.shown, present.version, successor.version, observed.runs, findings)


def hand_over(settings: Settings, progress: Progress, end: Callable[[], None]) -> None:
    """See `Platform.hand_over`.

    Parameters:
        end: ends a control plane that systemd does not run.
    """
    place = _place()
    present, successor = program_in(place.folder), program_in(place.next)
    service: Service | None = None
    lock = HomeLock(settings.paths.lock)
    if lock.is_held():
        supervised = is_supervised(lock.holder())
        service = Supervised(settings) if supervised else Unsupervised(end, _other_user(settings))
    changes = bool(successor.migrations - present.migrations)
    database = _database(settings) if service is not None and changes else None
    with _machine_faults(), place.held():
        Handover(place, settings, service, database, successor.version).run(progress)


def forget() -> None:
    """See `Platform.forget_upgrade`."""
    place = _place()
    with _machine_faults():
        place.clear(place.next)


def _place() -> Place:
    place = Place(Path(sys.prefix))
    check_folder(place.folder)
    return place


def _observe(settings: Settings, place: Place) -> Observed:
    runs = HomeLock(settings.paths.lock).is_held()
    return Observed(
        size_bytes=_size_of(place.folder),
        free_bytes=shutil.disk_usage(place.beside).free,
        writable=os.access(place.beside, os.W_OK) and os.access(place.folder, os.W_OK),
        deploys=_deploys(settings) if runs else (),
        runs=runs,
        other_user=_name(_other_user(settings)) if runs and not _may_start(settings) else "",
        own_database=not settings.database_url,
    )


def _size_of(folder: Path) -> int:
    return sum(
        (Path(root) / name).lstat().st_size for root, _, names in os.walk(folder) for name in names
    )


def _may_start(settings: Settings) -> bool:
    """Whether this user can end the control plane and start another: root, and whoever runs it."""
    return os.geteuid() == 0 or _other_user(settings) is None


def _other_user(settings: Settings) -> int | None:
    """Who runs the platform, where that is somebody else."""
    owner = settings.home.stat().st_uid
    return None if owner == os.geteuid() else owner


def _name(uid: int | None) -> str:
    try:
        return "" if uid is None else pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _deploys(settings: Settings) -> tuple[str, ...] | None:
    """The deploys that have not ended, in words; `None`: it does not say."""
    transport = httpx.HTTPTransport(uds=str(settings.paths.api_socket), verify=False)
    try:
        with httpx.Client(
            transport=transport, base_url="http://control", timeout=_ASK_TIMEOUT_S
        ) as client:
            answer = client.get(
                f"{API_PREFIX}/projects",
                headers={"authorization": f"Bearer {read_token(settings.paths)}"},
            )
            projects = _PROJECTS.validate_json(answer.raise_for_status().content)
    except (httpx.HTTPError, GantryError, ValidationError, OSError):
        return None
    return tuple(
        f"{environment.project} to {environment.name}"
        for project in projects
        for environment in project.environments
        if environment.deploy is not None and not DeployState(environment.deploy.state).ended
    )


def _database(settings: Settings) -> Address | None:
    """Of the control plane, where it is the embedded one."""
    return None if settings.database_url else make_engines(settings).system.admin_address()


@contextmanager
def _machine_faults() -> Iterator[None]:
    try:
        yield
    except MachineFault as fault:
        raise MachineError(
            "upgrade.failed",
            "could not put the other version in its place",
            fault,
            hint="gantry doctor checks disk space; what ran before runs",
        ) from fault
