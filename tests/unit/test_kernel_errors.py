"""Errors that travel as data come back as what they were."""

import pytest

from gantry.kernel.errors import (
    AccessError,
    Cancelled,
    ConflictError,
    GantryError,
    IntegrityError,
    NotFoundError,
    PermanentError,
    TransientError,
    UserError,
    from_dict,
)


@pytest.mark.parametrize(
    "kind", [UserError, TransientError, PermanentError, IntegrityError, Cancelled]
)
def test_an_error_comes_back_with_its_class_and_its_words(kind: type[GantryError]) -> None:
    error = kind("artifact.corrupt", "it is damaged", hint="gantry deploy", where="b-77")
    back = from_dict(error.as_dict())
    assert type(back) is kind
    assert back.exit_code == kind.exit_code
    assert back.as_dict() == error.as_dict()


@pytest.mark.parametrize(
    ("http_status", "kind"),
    [
        (0, UserError),
        (400, UserError),
        (401, AccessError),
        (403, AccessError),
        (404, NotFoundError),
        (409, ConflictError),
    ],
)
def test_the_status_of_an_answer_tells_user_errors_apart(
    http_status: int, kind: type[GantryError]
) -> None:
    fields = {"kind": "user", "code": "a.b", "message": "m"}
    assert type(from_dict(fields, http_status=http_status)) is kind


def test_the_status_says_nothing_of_other_kinds() -> None:
    fields = {"kind": "cancelled", "code": "a.b", "message": "m"}
    assert type(from_dict(fields, http_status=409)) is Cancelled


def test_a_kind_of_a_newer_version_is_permanent() -> None:
    error = from_dict({"kind": "quota", "code": "a.b", "message": "m"})
    assert type(error) is PermanentError
    assert (error.hint, error.where) == ("", "")
