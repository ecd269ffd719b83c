"""What Gantry can do, and how far each capability may be relied on.

The only list: `gantry version --features`, `GET /api/v1/capabilities`, the console and docs/roadmap.md show it. The label
says what the tests say, not what we believe: see `Maturity`.
"""

from dataclasses import dataclass
from enum import StrEnum


class Maturity(StrEnum):
    """How far a capability may be relied on."""

    STABLE = "stable"
    BETA = "beta"
    EXPERIMENTAL = "experimental"
    PLANNED = "planned"

    @property
    def meaning(self) -> str:
        """What the label promises, in one sentence."""
        return _MEANINGS[self]


_MEANINGS = {
    Maturity.STABLE: "Tested end to end with the real engines, most of it by drills too.",
    Maturity.BETA: "Complete and tested in its parts; not end to end, or not on every machine.",
    Maturity.EXPERIMENTAL: "Tested in the simulation or in parts; try it where a failure costs nothing.",
    Maturity.PLANNED: "Nothing of it can be used yet.",
}


@dataclass(frozen=True, slots=True)
class Capability:
    """Something that Gantry can do for its users.

    Attributes:
        since: first version that has it; empty while it is planned.
        sentence: what it does, for somebody who has not used it.
    """

    name: str
    maturity: Maturity
    since: str
    sentence: str


CAPABILITIES = (
    Capability(
        "deploys", Maturity.STABLE, "0.1",
        "Builds a tree once, starts it beside what is live and switches without a failed request.",
    ),
    Capability(
        "promotion and rollback", Maturity.STABLE, "0.1",
        "Brings the very build that was tried to another environment, or an earlier release back.",
    ),
    Capability(
        "commands by hand", Maturity.BETA, "0.1",
        "Runs a command, a shell, psql or a Redis prompt where the product runs, from anywhere, and writes down who did.",
    ),
    Capability(
        "databases for other clients", Maturity.BETA, "0.1",
        "Lends an environment's Postgres to a client of somebody's own, with a role that ends after hours.",
    ),
    Capability(
        "scaling by hand", Maturity.BETA, "0.1",
        "Changes how many instances run without a deploy and without a failed request, until the next deploy.",
    ),
    Capability(
        "canary rollouts", Maturity.STABLE, "0.1",
        "Moves visitors in stages, compares both releases at each, and takes a bad one back by itself.",
    ),
    Capability(
        "mirror", Maturity.STABLE, "0.1",
        "Tries a release on copies of real requests before any visitor gets it.",
    ),
    Capability(
        "open tabs", Maturity.STABLE, "0.1",
        "Pages that were loaded before a deploy keep their release (Next.js) and their files (any product).",
    ),
    Capability(
        "Next.js and Node.js", Maturity.STABLE, "0.1",
        "Finds out how a product is built, and builds it in a sandbox with limits.",
    ),
    Capability(
        "edge", Maturity.STABLE, "0.1",
        "HTTPS, HTTP/2, WebSockets, event streams, compression, redirects, rewrites and headers in front of all sites.",
    ),
    Capability(
        "files of builds", Maturity.STABLE, "0.1",
        "Serves files with hashed names of all kept builds without asking an instance.",
    ),
    Capability(
        "edge cache", Maturity.STABLE, "0.1",
        "Keeps what a product marks for shared caches, on paths that you name, until it is purged.",
    ),
    Capability(
        "Postgres", Maturity.STABLE, "0.1",
        "Gives each environment a database and a role of its own.",
    ),
    Capability(
        "recovery", Maturity.STABLE, "0.1",
        "Finds everything again after the control plane, the edge or a database was killed, or the disk was full.",
    ),
    Capability(
        "drills", Maturity.STABLE, "0.1",
        "Injects faults into a platform of their own and checks what still works.",
    ),
    Capability(
        "console and command line", Maturity.STABLE, "0.1",
        "Show what is live and what a real request reaches; every command has --json and examples.",
    ),
    Capability(
        "other products", Maturity.BETA, "0.1",
        "Builds and serves static sites, Python, and whatever has a command that starts it.",
    ),
    Capability(
        "own domains", Maturity.BETA, "0.1",
        "Orders certificates over ACME, also one wildcard over DNS; tested against a test authority, not a public one.",
    ),
    Capability(
        "on a server", Maturity.BETA, "0.1",
        "Sets a machine up: settings file, service, ports, checks of DNS; rehearsed with systemd, a power cut included.",
    ),
    Capability(
        "upgrade", Maturity.BETA, "0.1",
        "Another version takes over while sites go on, and gives back where it does not come up.",
    ),
    Capability(
        "move to another machine", Maturity.BETA, "0.1",
        "Writes the platform with its databases into one encrypted file, and makes it again from that.",
    ),
    Capability(
        "maintenance", Maturity.BETA, "0.1",
        "Answers an environment's visitors with a page while it is worked on; listed addresses get the product.",
    ),
    Capability(
        "Redis", Maturity.BETA, "0.1",
        "Gives each environment a cache of its own, which may be empty after a restart.",
    ),
    Capability(
        "workers and schedules", Maturity.BETA, "0.1",
        "Runs long-running processes beside the web process, and commands or requests on a schedule, with their runs and output.",
    ),
    Capability(
        "memory and processor limits", Maturity.BETA, "0.1",
        "Holds each process to its limits; tested with control groups of version 1, not of version 2.",
    ),
    Capability(
        "roles, tokens and audit log", Maturity.BETA, "0.1",
        "Three roles for people and programs, and a log of every change that shows if it was altered.",
    ),
    Capability(
        "destroy", Maturity.BETA, "0.1",
        "Ends an environment or a project with its data; goes on after a crash.",
    ),
    Capability(
        "external system database", Maturity.BETA, "0.1",
        "GANTRY_DATABASE_URL names a Postgres of your own for Gantry's records.",
    ),
    Capability(
        "two control planes", Maturity.EXPERIMENTAL, "0.1",
        "Several share one Postgres: one acts, the others answer requests and take over.",
    ),
    Capability(
        "start with the machine", Maturity.EXPERIMENTAL, "0.1",
        "Starts everything again after a reboot; simulated, and not tried under systemd.",
    ),
    Capability("push to deploy, previews", Maturity.PLANNED, "", "A deploy for each push, and an environment for each branch."),
    Capability("errors, logs, analytics", Maturity.PLANNED, "", "What visitors and products report, kept and searched here."),
    Capability("checks, alerts, incidents", Maturity.PLANNED, "", "Outside looks at sites, rules that fire, runbooks and post-mortems."),
    Capability("backups", Maturity.PLANNED, "", "Continuous backups of databases, and restores that are rehearsed."),
    Capability("Dockerfiles", Maturity.PLANNED, "", "A product that is built from the Dockerfile in its repository."),
    Capability("several machines", Maturity.PLANNED, "", "Instances on more than one machine, in containers or on Kubernetes."),
    Capability("fine-grained access", Maturity.PLANNED, "", "Permissions for each project and environment, and sign-in with an outside identity."),
)  # fmt: skip


def by_maturity() -> tuple[tuple[Maturity, tuple[Capability, ...]], ...]:
    """The capabilities under their labels, the most reliable first."""
    return tuple(
        (
            maturity,
            tuple(capability for capability in CAPABILITIES if capability.maturity is maturity),
        )
        for maturity in Maturity
    )
