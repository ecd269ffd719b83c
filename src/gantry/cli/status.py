"""`gantry status`: projects, which release really answers, instances, and the parts of the platform."""

from collections.abc import Iterator
from datetime import datetime

import rich_click as click
from rich.console import Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gantry.cli.command import command, json_option, pass_session
from gantry.cli.deploy_story import queue_sentence
from gantry.cli.listing import Listing
from gantry.cli.session import Session
from gantry.cli.terminal import commit, url
from gantry.cli.transport import PROBE_TIMEOUT_S, path
from gantry.features.deploys.bodies import DeployBody, DeployStateName
from gantry.features.instances.bodies import InstanceBody, InstanceStateName
from gantry.features.platform.bodies import EnvironmentBody, StatusBody
from gantry.features.routes.bodies import CacheBody
from gantry.kernel.errors import TransientError, UserError
from gantry.kernel.units import (
    counted,
    first_line,
    format_ago,
    format_elapsed,
    format_percent,
    format_size,
)

_INTERVAL_WATCH_S = 2.0
_CLOSED = 503
_DEPLOY_STYLES: dict[DeployStateName, str] = {
    "queued": "yellow",
    "active": "cyan",
    "succeeded": "green",
    "failed": "bold red",
    "cancelled": "yellow",
}
_INSTANCE_STYLES: dict[InstanceStateName, str] = {
    "starting": "cyan",
    "healthy": "green",
    "unhealthy": "bold red",
    "backing-off": "bold red",
    "stopping": "dim",
}


@command(
    "status",
    ("everything at a glance", "gantry status"),
    ("refreshed every two seconds", "gantry status --watch"),
    (
        "which release is live, for a program",
        "gantry status --json | jq '.projects[].environments[].live.number'",
    ),
)
@click.option("--watch", "-w", is_flag=True, help="Refresh until Ctrl-C.")
@click.option("--no-probe", is_flag=True, help="Do not test which release the public port reaches.")
@json_option
@pass_session
def status(session: Session, watch: bool, no_probe: bool) -> None:
    """Show every project, and which release really answers.

    Also instances, the last deploy, and the parts of the platform. The public address of each environment is
    requested once, as a visitor would: the release that answered is shown beside the one that should.
    """
    if watch and session.as_json:
        raise UserError(
            "cli.usage",
            "--watch and --json cannot be combined",
            hint="run gantry status --json again when needed",
        )
    body = _ask(session, probe=not no_probe)
    if session.as_json:
        session.json(body.model_dump_json())
    elif watch:
        _watch(session, probe=not no_probe)
    else:
        session.show(status_group(body, session.clock.now()))


def _ask(session: Session, *, probe: bool) -> StatusBody:
    at = path("status", probe=str(probe).lower())
    return session.api.get(StatusBody, at, timeout_s=PROBE_TIMEOUT_S)


def _watch(session: Session, *, probe: bool) -> None:
    with Live(console=session.out, screen=session.out.is_terminal, auto_refresh=False) as live:
        while True:
            try:
                shown = status_group(_ask(session, probe=probe), session.clock.now())
            except TransientError as error:
                shown = Group(Text(f"{error.message}; retrying", style="yellow"))
            live.update(shown, refresh=True)
            session.pause(_INTERVAL_WATCH_S)


def status_group(body: StatusBody, now: datetime) -> Group:
    """Everything at a glance."""
    parts: list[RenderableType] = [_head(body), Text()]
    for project in body.projects:
        for environment in project.environments:
            parts += [_environment(environment, now), Text()]
    if not body.projects:
        parts += [
            Text("No projects yet. In a project's folder: gantry init && gantry deploy"),
            Text(),
        ]
    parts.append(_parts(body))
    for warning in body.warnings:
        parts.append(Text.assemble(("! ", "bold yellow"), warning))
    return Group(*parts)


def _head(body: StatusBody) -> Text:
    name = (f"Gantry {body.version}", "bold")
    return Text.assemble(name, "  ", url(body.console_url), "  ", (body.home, "dim"))


def _environment(body: EnvironmentBody, now: datetime) -> Group:
    title = Text.assemble((f"{body.project} · {body.name}", "bold"), "  ", url(body.url))
    if body.removing:
        title.append("  being deleted", style="bold yellow")
    rows: list[RenderableType] = [title]
    facts = Table.grid(padding=(0, 2, 0, 0))
    facts.add_column(style="dim", min_width=9)
    facts.add_column()
    facts.add_row("live", _live(body, now))
    for label, said in _by_hand(body):
        facts.add_row(label, Text(said, style="yellow"))
    if body.candidate is not None:
        facts.add_row("rollout", Text(body.candidate.sentence, style="cyan"))
    if body.live is not None and body.reached is not None:
        facts.add_row("answers", _reached(body))
    if body.deploy is not None:
        facts.add_row("deploy", _deploy(body.deploy, now))
    for label, listed in _declared(body):
        facts.add_row(label, listed)
    rows.append(Padding(facts, (0, 0, 0, 2), expand=False))
    if body.instances:
        rows.append(Padding(_instances(body, now), (0, 0, 0, 2), expand=False))
    return Group(*rows)


def _declared(body: EnvironmentBody) -> Iterator[tuple[str, Text]]:
    """What its gantry.toml asks for."""
    if body.cache is not None:
        yield "cache", _cache(body.cache)
    if body.limits:
        yield "limits", Text("\n".join(limit.sentence for limit in body.limits))
    if body.services:
        yield "services", Text(", ".join(body.services))
    if body.domains:
        yield "domains", Text(", ".join(body.domains))


def _by_hand(body: EnvironmentBody) -> Iterator[tuple[str, str]]:
    """What somebody asked for, and gantry.toml does not say."""
    if body.closed is not None:
        yield "closed", f"{body.closed.title}: “{body.closed.message}” ({body.closed.sentence})"
    if body.scaled:
        yield "scaled", f"{', '.join(body.scaled)}; until the next deploy"


def _live(body: EnvironmentBody, now: datetime) -> Text:
    live = body.live
    if live is None:
        return Text("no release yet", style="yellow")
    since = f", {format_ago(live.live_at, now)}" if live.live_at else ""
    what = commit(live.commit)
    return Text.assemble(
        (f"release {live.number}", "bold"),
        f" ({live.framework}, {format_size(live.size_bytes)}){since}",
        (f"  {what}" if what else "", "dim"),
    )


def _reached(body: EnvironmentBody) -> Text:
    reached, live = body.reached, body.live
    assert reached is not None
    assert live is not None
    elapsed = f"in {reached.elapsed_s * 1000:.0f} ms"
    number = f"release {reached.release_number}" if reached.release_number else reached.release
    if reached.expected and body.closed is not None and reached.status == _CLOSED:
        return Text.assemble(
            ("✓ ", "green"),
            f"the public port shows visitors the page, with {number} behind it ({reached.status}, {elapsed})",
        )
    if reached.expected:
        return Text.assemble(
            ("✓ ", "green"),
            f"a request to the public port reached {number} ({reached.status}, {elapsed})",
        )
    if reached.release:
        return Text(f"✗ a request reached {number}, not release {live.number}", style="bold red")
    reason = reached.error or f"status {reached.status}, from no release"
    return Text(f"✗ a request reached no release: {reason}", style="bold red")


def _cache(cache: CacheBody) -> Text:
    lines = [_hit_rate(cache), _cache_size(cache)] if cache.running else []
    if cache.trouble:
        lines.append(Text(f"! {cache.trouble}", style="yellow"))
    return Text("\n").join(lines)


def _hit_rate(cache: CacheBody) -> Text:
    if cache.share is None:
        return Text("no requests in the last hour")
    requests = cache.hits + cache.stale + cache.misses + cache.bypassed
    counts = f"{cache.hits:,} hit, {cache.stale:,} stale, {cache.misses:,} miss, {cache.bypassed:,} bypass"
    return Text.assemble(
        f"answered {format_percent(cache.share)} of {counted(requests, 'request')} in the last hour",
        (f"  {counts}", "dim"),
    )


def _cache_size(cache: CacheBody) -> Text:
    used, limit = format_size(cache.used_bytes), format_size(cache.limit_bytes)
    kept = f"{counted(cache.entries, 'response')}, {format_size(cache.size_bytes)}"
    return Text(f"{kept}; whole cache: {used} of {limit}")


def _deploy(deploy: DeployBody, now: datetime) -> Text:
    style = _DEPLOY_STYLES.get(deploy.state, "")
    if deploy.state == "active":
        running = next((step for step in deploy.steps if step.state == "running"), None)
        at = deploy.step + (f" for {format_elapsed(running.elapsed_s)}" if running else "")
        return Text.assemble((f"{deploy.kind} running: {at}", style), (f"  {deploy.id}", "dim"))
    if deploy.state == "queued":
        return Text.assemble(
            (queue_sentence(deploy.queue_position or 0), style), (f"  {deploy.id}", "dim")
        )
    ended = format_ago(deploy.finished_at, now) if deploy.finished_at else ""
    text = Text.assemble((f"{deploy.kind} {deploy.state}", style), f" {ended}".rstrip())
    if deploy.error is not None:
        text.append(f"  {deploy.error.code}: {first_line(deploy.error.message)}", style="red")
    elif deploy.elapsed_s is not None:
        text.append(f", took {format_elapsed(deploy.elapsed_s)}", style="dim")
    return text


def _instances(body: EnvironmentBody, now: datetime) -> Group:
    columns = ("process", "state", "release", "memory", "restarts", "since", "pid", "instance")
    numbers = ("release", "memory", "restarts", "pid")
    rows = Listing(*columns, numbers=numbers, spare=("pid", "instance"))
    for instance in body.instances_by_use:
        rows.add_row(*_instance_row(instance, now, is_warm=body.is_warm(instance)))
    troubles = [
        Text.assemble((f"{_label(instance)}: ", "bold red"), instance.message)
        for instance in body.instances
        if instance.message and instance.state != "healthy"
    ]
    return Group(rows, *troubles, *_restarts(body.instances, now))


def _restarts(instances: tuple[InstanceBody, ...], now: datetime) -> list[Text]:
    """A line for each instance that was started again for a fault of its own: how often, why and when the last time."""
    return [
        Text(
            f"{_label(instance)}: restarts {instance.restarts} "
            f"({instance.restart_reason}, {format_ago(instance.restarted_at, now)})",
            style="yellow",
        )
        for instance in instances
        if instance.restarts and instance.restart_reason and instance.restarted_at is not None
    ]


def _label(instance: InstanceBody) -> str:
    return f"{instance.process}.{instance.slot}"


def _instance_row(instance: InstanceBody, now: datetime, *, is_warm: bool) -> tuple[Text, ...]:
    dim = "dim" if is_warm else ""
    state = "warm" if is_warm else instance.state
    return (
        Text(_label(instance), style=dim),
        Text(state, style=dim or _INSTANCE_STYLES.get(instance.state, "")),
        Text(str(instance.release_number), style=dim),
        Text(format_size(instance.memory_bytes) if instance.memory_bytes else "", style=dim),
        Text(str(instance.restarts), style="yellow" if instance.restarts else dim),
        Text(format_ago(instance.started_at, now) if instance.started_at else "", style=dim),
        Text(str(instance.pid or ""), style=dim),
        Text(instance.id, style="dim"),
    )


def _parts(body: StatusBody) -> Text:
    text = Text()
    for part in body.parts:
        mark, style = ("●", "green") if part.running else ("✗", "bold red")
        text.append(f"{mark} ", style=style)
        memory = f" {format_size(part.memory_bytes)}" if part.memory_bytes else ""
        text.append(f"{part.name}{memory}   ", style="dim" if part.running else "bold red")
    return text
