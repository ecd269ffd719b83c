"""What each page's template may use. A template that needs more needs a field here first."""

from dataclasses import dataclass
from datetime import datetime

from gantry.features.accounts.model import Role
from gantry.features.audit.bodies import AuditBody
from gantry.features.deploys.bodies import DeployBody
from gantry.features.instances.bodies import InstanceBody
from gantry.features.platform.bodies import EnvironmentBody, PartBody, ProjectBody
from gantry.features.releases.bodies import ReleaseBody
from gantry.features.variables.bodies import VariableBody
from gantry.kernel.bodies import ErrorBody
from gantry.kernel.errors import GantryError
from gantry.web.console.cache import CachePanel
from gantry.web.console.rollout import RolloutPanel


@dataclass(frozen=True, slots=True)
class Frame:
    """What surrounds every page.

    Attributes:
        now: the moment for which relative times are worded.
        account, role: who looks; empty and `None` when nobody is logged in.
        here: which entry of the navigation is the present one.
    """

    version: str
    now: datetime
    account: str = ""
    role: Role | None = None
    here: str = ""

    @property
    def may_change(self) -> bool:
        """Whether buttons that change something are shown."""
        return self.role is not None and self.role.covers(Role.DEVELOPER)

    @property
    def may_own(self) -> bool:
        """Whether the owner's pages are shown."""
        return self.role is Role.OWNER


@dataclass(frozen=True, slots=True)
class EnvironmentCard:
    """An environment as the overview and the tabs show it.

    Attributes:
        state: `empty`, `healthy`, `degraded` or `down`; of the live release's instances.
        healthy, total: instances of the live release.
        memory_bytes: of all its instances.
    """

    body: EnvironmentBody
    state: str
    healthy: int
    total: int
    memory_bytes: int

    @property
    def path(self) -> str:
        """Where its page is."""
        return f"/projects/{self.body.project}/{self.body.name}"


@dataclass(frozen=True, slots=True)
class OverviewPage:
    """Everything at a glance."""

    projects: tuple[tuple[ProjectBody, tuple[EnvironmentCard, ...]], ...]
    parts: tuple[PartBody, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Promotion:
    """A promotion that the page offers."""

    from_environment: str
    to_environment: str
    release: ReleaseBody


@dataclass(frozen=True, slots=True)
class EnvironmentPage:
    """One environment.

    Attributes:
        tabs: every environment of the project, this one included.
        deploy: the deploy that runs or waits; `None` when none does.
        rollback: where "roll back" without a choice would go.
        promotion: what could be promoted from or to this environment.
        rollout: the newest one, while it goes on and for an hour after it failed.
        cache: where paths are named for it.
    """

    card: EnvironmentCard
    tabs: tuple[EnvironmentCard, ...]
    instances: tuple[InstanceBody, ...]
    releases: tuple[ReleaseBody, ...]
    deploys: tuple[DeployBody, ...]
    deploy: DeployBody | None
    rollback: ReleaseBody | None
    promotion: Promotion | None
    variables: tuple[VariableBody, ...]
    rollout: RolloutPanel | None
    cache: CachePanel | None


@dataclass(frozen=True, slots=True)
class LogsPage:
    """What an environment's instances print."""

    card: EnvironmentCard
    stream: str


@dataclass(frozen=True, slots=True)
class DeployPage:
    """One deploy.

    Attributes:
        stream: where its events are.
    """

    deploy: DeployBody
    stream: str
    may_cancel: bool


@dataclass(frozen=True, slots=True)
class AuditPage:
    """The audit log.

    Attributes:
        intact: the whole chain of hashes fits.
        fault: what does not.
    """

    entries: tuple[AuditBody, ...]
    total: int
    intact: bool
    fault: str


@dataclass(frozen=True, slots=True)
class LoginPage:
    """Asks for one click, so that a program that merely looks at a link does not use it up."""

    token: str


@dataclass(frozen=True, slots=True)
class ErrorPage:
    """A refusal.

    Attributes:
        login: the caller is not known, and is told how to log in.
    """

    status: int
    error: ErrorBody
    login: bool

    @classmethod
    def of(cls, error: GantryError) -> "ErrorPage":
        """The page for an error."""
        body = ErrorBody.model_validate(error.as_dict())
        return cls(error.http_status, body, login=error.http_status == 401)


Page = OverviewPage | EnvironmentPage | LogsPage | DeployPage | AuditPage | LoginPage | ErrorPage
