"""What the API says of releases."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from gantry.kernel.bodies import Answer, Request


class CommitRequest(Request):
    """Where a source came from, as far as its sender knows."""

    sha: str = Field("", max_length=64)
    branch: str = Field("", max_length=200)
    message: str = Field("", max_length=500)
    author: str = Field("", max_length=200)
    dirty: bool = False


class CommitBody(Answer):
    """Where a release came from, as far as the sender of its source knew."""

    sha: str = ""
    branch: str = ""
    message: str = ""
    author: str = ""
    dirty: bool = False


class ReleaseBody(Answer):
    """One release."""

    id: str
    number: int
    state: Literal["pending", "running", "retired", "failed"]
    live: bool
    can_roll_back_to: bool
    build: str
    framework: str
    size_bytes: int
    commit: CommitBody
    url: str
    created_at: datetime
    live_at: datetime | None
    left_at: datetime | None
