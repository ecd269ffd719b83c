"""One rule for what a project is called: in the manifest, in the service, and for an address."""

import pytest

from gantry.config.faults import ManifestError
from gantry.config.fields import project_name_fault
from gantry.config.load import load_manifest
from gantry.features.projects.host_names import HostNames
from gantry.features.projects.model import NAMES, Environment, check_environment, check_project
from gantry.kernel.errors import UserError
from tests.support.names import BAD, GOOD
from tests.support.stories import T0

NAMING = HostNames("localhost", 8443)


@pytest.mark.parametrize("name", GOOD)
def test_a_good_name_is_good_everywhere(name: str) -> None:
    assert project_name_fault(name) is None
    assert load_manifest(f'[project]\nname = "{name}"\n').project.name == name
    check_project(name)
    for environment in NAMES:
        check_environment(environment)
        found = Environment("env-1", name, environment, None, 0, T0)
        assert NAMING.can_answer(NAMING.environment_host(found))
    assert NAMING.can_answer(NAMING.release_host(name, "r-abcdefghij"))


@pytest.mark.parametrize("name", BAD)
def test_a_bad_name_is_bad_everywhere(name: str) -> None:
    assert project_name_fault(name) is not None
    quoted = "".join(f"\\U{ord(char):08x}" for char in name)
    with pytest.raises(ManifestError):
        load_manifest(f'[project]\nname = "{quoted}"\n')
    with pytest.raises(UserError) as caught:
        check_project(name)
    assert caught.value.code == "project.bad-name"
    assert caught.value.hint


@pytest.mark.parametrize("name", ["", "..", "Production", "preview", "production--shop", "prod"])
def test_there_are_no_other_environments(name: str) -> None:
    with pytest.raises(UserError) as caught:
        check_environment(name)
    assert caught.value.code == "environment.bad-name"
    assert "production" in caught.value.hint


@pytest.mark.parametrize(
    ("host", "can"),
    [
        ("shop.localhost", True),
        ("staging--shop.localhost", True),
        ("gantry.localhost", True),
        ("...localhost", False),
        (".localhost", False),
        ("r-abc--..localhost", False),
        ("SHOP.localhost", False),
        ("bücher.localhost", False),
        (f"{'x' * 63}.localhost", True),
        (f"{'x' * 64}.localhost", False),
        ("*.localhost", False),
        ("shop.localhost\n", False),
    ],
)
def test_what_can_be_a_host(host: str, can: bool) -> None:
    assert NAMING.can_answer(host) is can
