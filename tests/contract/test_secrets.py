"""What every box for secrets promises."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from gantry.engines.secrets.age import AgeBox
from gantry.engines.secrets.protocol import SecretBox
from gantry.kernel.errors import IntegrityError
from tests.fakes.secrets import FakeBox

Make = Callable[[str], SecretBox]


@pytest.fixture(params=["fake", "age"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    if request.param == "fake":
        return FakeBox
    return lambda name: AgeBox(tmp_path / name / "age.key")


@pytest.mark.parametrize("plain", ["", "x", "a 'quoted' \n line", "ключ 🔑", "x" * 100_000])
def test_what_is_sealed_can_be_opened_also_later(make: Make, plain: str) -> None:
    sealed = make("one").seal(plain)
    assert make("one").open(sealed) == plain


def test_another_key_opens_nothing(make: Make) -> None:
    sealed = make("one").seal("secret")
    with pytest.raises(IntegrityError) as caught:
        make("two").open(sealed)
    assert caught.value.code == "secrets.undecipherable"


@pytest.mark.parametrize("garbage", [b"", b"x", b"age-encryption.org/v1\n"])
def test_what_was_altered_is_refused(make: Make, garbage: bytes) -> None:
    box = make("one")
    sealed = box.seal("secret")
    flipped = sealed[:-1] + (b"\xff" if sealed[-1] != 0xFF else b"\xfe")
    for damaged in (garbage, flipped, sealed[: len(sealed) // 2]):
        with pytest.raises(IntegrityError):
            box.open(damaged)


def test_the_key_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "age.key"
    AgeBox(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.read_text().startswith("AGE-SECRET-KEY-1")
    assert [each.name for each in path.parent.iterdir()] == ["age.key"]


def test_sealed_text_does_not_show_the_secret(tmp_path: Path) -> None:
    box = AgeBox(tmp_path / "age.key")
    assert b"hunter2-hunter2" not in box.seal("hunter2-hunter2")
    assert box.seal("same") != box.seal("same")


_BOX = FakeBox()


@given(st.text())
def test_any_text_survives_the_fake(plain: str) -> None:
    assert _BOX.open(_BOX.seal(plain)) == plain
