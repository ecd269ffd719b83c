"""`gantry status`: projects, what really answers, instances, and the parts of the platform."""

from datetime import datetime

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gantry.cli.views import words
from gantry.cli.views.deploying import queue_sentence
from gantry.features.deploys.bodies import DeployBody
from gantry.features.instances.bodies import InstanceBody
from gantry.features.platform.bodies import EnvironmentBody, StatusBody
from gantry.features.routes.bodies import CacheBody
from gantry.kernel.units import format_percent, format_size


def status(body: StatusBody, now: datetime) -> Group:
    """Everything at a glance."""
    parts: list[RenderableType] = [_head(body), Text()]
    for project in body.projects:
        for environment in project.environments:
            parts += [_environment(environment, now), Text()]
    if not body.projects:
        parts += [
            Text("No project yet. In a project's folder: gantry init && gantry deploy"),
            Text(),
        ]
    parts.append(_parts(body))
    for warning in body.warnings:
        parts.append(Text.assemble(("! ", "bold yellow"), warning))
    return Group(*parts)


def _head(body: StatusBody) -> Text:
    return Text.assemble(
        ("Gantry ", "bold"), (body.version, "bold"), "  ", words.url(body.console_url), "  ",
        (body.home, "dim"),
    )  # fmt: skip


def _environment(body: EnvironmentBody, now: datetime) -> Group:
    title = Text.assemble((f"{body.project} · {body.name}", "bold"), "  ", words.url(body.url))
    rows: list[RenderableType] = [title]
    facts = Table.grid(padding=(0, 2, 0, 0))
    facts.add_column(style="dim", min_width=9)
    facts.add_column()
    facts.add_row("live", _live(body, now))
    if body.candidate is not None:
        facts.add_row("rollout", Text(body.candidate.sentence, style="cyan"))
    if body.live is not None and body.reached is not None:
        facts.add_row("answers", _reached(body))
    if body.deploy is not None:
        facts.add_row("deploy", _deploy(body.deploy, now))
    if body.cache is not None:
        facts.add_row("cache", _cache(body.cache))
    if body.services:
        facts.add_row("services", ", ".join(body.services))
    if body.domains:
        facts.add_row("domains", ", ".join(body.domains))
    rows.append(Padding(facts, (0, 0, 0, 2), expand=False))
    if body.instances:
        rows.append(Padding(_instances(body, now), (0, 0, 0, 2), expand=False))
    return Group(*rows)


def _live(body: EnvironmentBody, now: datetime) -> Text:
    live = body.live
    if live is None:
        return Text("nothing yet", style="yellow")
    since = f", {words.ago(live.live_at, now)}" if live.live_at else ""
    what = words.commit(live.commit)
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
    if reached.expected:
        return Text.assemble(
            ("✓ ", "green"),
            f"a request to the public port reached {number} ({reached.status}, {elapsed})",
        )
    if reached.release:
        return Text(f"✗ a request reached {number}, not release {live.number}", style="bold red")
    said = reached.error or f"status {reached.status}, from no release"
    return Text(f"✗ a request reached no release: {said}", style="bold red")


def _cache(cache: CacheBody) -> Text:
    lines = [_from_cache(cache), _room(cache)] if cache.running else []
    if cache.trouble:
        lines.append(Text(f"! {cache.trouble}", style="yellow"))
    return Text("\n").join(lines)


def _from_cache(cache: CacheBody) -> Text:
    if cache.share is None:
        return Text("no request in the last hour")
    requests = cache.hits + cache.stale + cache.misses + cache.bypassed
    counts = f"{cache.hits:,} hit, {cache.stale:,} stale, {cache.misses:,} miss, {cache.bypassed:,} bypass"
    return Text.assemble(
        f"answered {format_percent(cache.share)} of {requests:,} requests in the last hour",
        (f"  {counts}", "dim"),
    )


def _room(cache: CacheBody) -> Text:
    used, limit = format_size(cache.used_bytes), format_size(cache.limit_bytes)
    kept = f"{cache.entries:,} answers kept, {format_size(cache.size_bytes)}"
    return Text(f"{kept}; {used} of {limit} used in all")


def _deploy(deploy: DeployBody, now: datetime) -> Text:
    style = words.DEPLOY_STYLES[deploy.state]
    if deploy.state == "active":
        running = next((step for step in deploy.steps if step.state == "running"), None)
        at = f" at {deploy.step}" + (f" for {words.took(running.elapsed_s)}" if running else "")
        return Text.assemble((f"{deploy.kind} runs{at}", style), (f"  {deploy.id}", "dim"))
    if deploy.state == "queued":
        return Text.assemble(
            (queue_sentence(deploy.queue_position or 0), style), (f"  {deploy.id}", "dim")
        )
    ended = words.ago(deploy.finished_at, now) if deploy.finished_at else ""
    text = Text.assemble((f"{deploy.kind} {deploy.state}", style), f" {ended}".rstrip())
    if deploy.error is not None:
        text.append(f"  {deploy.error.code}: {words.first_line(deploy.error.message)}", style="red")
    elif deploy.elapsed_s is not None:
        text.append(f", took {words.took(deploy.elapsed_s)}", style="dim")
    return text


def _instances(body: EnvironmentBody, now: datetime) -> Group:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    for name in ("process", "state", "release", "memory", "restarts", "since", "pid"):
        number = name in ("release", "memory", "restarts", "pid")
        table.add_column(name, justify="right" if number else "left", no_wrap=True)
    # In a narrow terminal the identity gives way first.
    table.add_column("instance", style="dim", overflow="ellipsis", max_width=40)
    for each in body.instances:
        table.add_row(*_instance(each, now))
    troubles = [
        Text.assemble((f"{_label(each)}: ", "bold red"), each.message)
        for each in body.instances
        if each.message and each.state != "healthy"
    ]
    return Group(table, *troubles)


def _label(each: InstanceBody) -> str:
    return f"{each.process}.{each.slot}"


def _instance(each: InstanceBody, now: datetime) -> tuple[str | Text, ...]:
    return (
        _label(each),
        Text(each.state, style=words.INSTANCE_STYLES[each.state]),
        str(each.release_number),
        format_size(each.memory_bytes) if each.memory_bytes else "",
        Text(str(each.restarts), style="yellow" if each.restarts else ""),
        words.ago(each.started_at, now) if each.started_at else "",
        str(each.pid or ""),
        each.id,
    )


def _parts(body: StatusBody) -> Text:
    text = Text()
    for part in body.parts:
        mark, style = ("●", "green") if part.running else ("✗", "bold red")
        text.append(f"{mark} ", style=style)
        memory = f" {format_size(part.memory_bytes)}" if part.memory_bytes else ""
        text.append(f"{part.name}{memory}   ", style="dim" if part.running else "bold red")
    return text
