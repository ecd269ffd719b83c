"""What the API says of releases."""

from datetime import datetime
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field

from gantry.kernel.bodies import Answer, Open, Request

if TYPE_CHECKING:
    from gantry.features.projects.host_names import HostNames
    from gantry.features.projects.model import Environment
    from gantry.features.releases.model import BuiltRelease, Commit


class CommitRequest(Request):
    """Where a source came from, as far as its sender knows."""

    sha: str = Field("", max_length=64)
    branch: str = Field("", max_length=200)
    message: str = Field("", max_length=500)
    author: str = Field("", max_length=200)
    dirty: bool = False
    origin: str = Field(
        "",
        max_length=300,
        description="What its folder is: the address of a repository, or a path.",
    )


class CommitBody(Answer):
    """Where a release came from, as far as the sender of its source knew."""

    sha: str = ""
    branch: str = ""
    message: str = ""
    author: str = ""
    dirty: bool = False
    origin: str = ""

    @classmethod
    def of(cls, commit: "Commit") -> Self:
        """A commit, cut where it is longer than a request may say."""
        return cls(
            sha=commit.sha[:64],
            branch=commit.branch[:200],
            message=commit.message[:500],
            author=commit.author[:200],
            dirty=commit.dirty,
            origin=commit.origin[:300],
        )


class ReleaseBody(Answer):
    """One release."""

    id: str
    number: int
    state: Open[Literal["pending", "running", "retired", "failed"]]
    live: bool
    can_roll_back_to: bool
    withdrawn: bool = Field(default=False, description="Somebody rolled back from it.")
    rollback_target: bool = Field(
        default=False, description="A rollback that names no release leads here."
    )
    build: str
    framework: str
    size_bytes: int
    commit: CommitBody
    url: str
    created_at: datetime
    live_at: datetime | None
    left_at: datetime | None
    processes: tuple[str, ...] = Field(
        (), description="Kinds that it declares: `web`, `worker.NAME`, `cron.NAME`."
    )

    @classmethod
    def of(
        cls,
        built: "BuiltRelease",
        environment: "Environment",
        host_names: "HostNames",
        *,
        target: "BuiltRelease | None" = None,
    ) -> Self:
        """A release of an environment.

        Parameters:
            target: where a rollback of the environment leads, where that is known.
        """
        release = built.release
        live = release.id == environment.live_release
        return cls(
            id=release.id,
            number=release.number,
            state=release.state.value,
            live=live,
            can_roll_back_to=release.was_live and not live and built.kept,
            withdrawn=release.withdrawn_at is not None,
            rollback_target=target is not None and target.release.id == release.id,
            build=release.build,
            framework=built.framework,
            size_bytes=built.size_bytes,
            commit=CommitBody.of(release.commit),
            url=host_names.url(host_names.release_host(environment.project, release.id)),
            created_at=release.created_at,
            live_at=release.live_at,
            left_at=release.left_at,
            processes=release.processes,
        )
