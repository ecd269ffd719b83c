"""What a deploy would change: the same checks and rules as a deploy, without any effect."""

from collections.abc import Iterable
from dataclasses import dataclass

from gantry.config.differences import Difference, differences
from gantry.config.manifest import Manifest
from gantry.engines.builders.protocol import Artifact, Workshop
from gantry.engines.database.protocol import Database, Row
from gantry.features import scales
from gantry.features.builds import store as builds
from gantry.features.deploys.bodies import PlanBody, PlanChange
from gantry.features.deploys.source import SourceReader
from gantry.features.instances.launching import wanted_services
from gantry.features.projects import store as projects
from gantry.features.projects.host_names import HostNames
from gantry.features.projects.model import Environment, check_environment, check_project
from gantry.features.releases import store as releases
from gantry.features.releases.reading import manifest_of
from gantry.features.services import store as services
from gantry.features.services.model import variables_of
from gantry.features.variables.service import VariableService
from gantry.kernel.bodies import ErrorBody
from gantry.kernel.clock import Clock
from gantry.kernel.errors import GantryError


@dataclass(frozen=True, slots=True)
class Planner:
    """Compares a snapshot with what is live."""

    database: Database
    source_reader: SourceReader
    workshop: Workshop
    variables: VariableService
    host_names: HostNames
    clock: Clock

    async def plan(
        self,
        project: str,
        environment: str,
        source_digest: str,
        *,
        branch: str = "",
        use_cache: bool = True,
    ) -> PlanBody:
        """What a deploy of `source_digest` to `environment` would do.

        Parameters:
            branch: of its commit; empty where it is not known.
            use_cache: whether a build of before may be taken.

        Raises:
            UserError: the manifest cannot be read, or the snapshot is not kept; `project.bad-name`,
                `environment.bad-name`.
        """
        check_project(project)
        check_environment(environment)
        async with self.database.transaction() as session:
            known = await projects.find_environment(session, project, environment)
        target = known or Environment("", project, environment, None, 0, self.clock.now())
        await self.source_reader.snapshot(source_digest)
        manifest = await self.source_reader.checks.manifest(source_digest, target)
        kept, build = (
            await self._build(source_digest, target, manifest)
            if use_cache
            else (None, _change("build", "create", "anew, without the build cache"))
        )
        changes = [] if known else [_change("host", "create", self._host(target))]
        changes.append(build)
        changes += await self._configuration(target, manifest)
        changes += await self._services(target, manifest)
        changes += [
            _change("extension", "keep", name, after=f"created by {place}")
            for name, place in manifest.extensions.items()
            if manifest.services.postgres is not None
        ]
        # The number of the release is another in any case.
        news = [item for item in changes if item.action != "keep" and item.what != "release"]
        return PlanBody(
            project=project,
            environment=environment,
            changes=tuple(changes),
            blockers=await self._blockers(target, manifest, branch),
            unchanged=not news and await self._is_live(kept, target),
        )

    def _host(self, target: Environment) -> str:
        return self.host_names.url(self.host_names.environment_host(target))

    async def _blockers(
        self, target: Environment, manifest: Manifest, branch: str
    ) -> tuple[ErrorBody, ...]:
        async with self.database.transaction() as session:
            refusals = await self.source_reader.checks.refusals(
                session, target, manifest, branch=branch
            )
        return tuple(ErrorBody.model_validate(error.as_dict()) for error in refusals)

    async def _build(
        self, source_digest: str, target: Environment, manifest: Manifest
    ) -> tuple[Artifact | None, PlanChange]:
        """The artifact that there is already, and what happens with the build."""
        if not target.id:
            return None, _change("build", "create", "the first build of this environment")
        try:
            request = await self.source_reader.request(source_digest, target.id, manifest, "plan")
            kept = await self.workshop.find(request)
        except GantryError as error:
            return None, _change("build", "create", f"anew, because {error.message}")
        if kept is None:
            return None, _change("build", "create", "this tree was not built before")
        known = f"artifact {kept.digest[:12]} was built from this tree"
        return kept, _change("build", "keep", known)

    async def _is_live(self, kept: Artifact | None, target: Environment) -> bool:
        """Whether visitors get this artifact already."""
        if kept is None or target.live_release is None:
            return False
        async with self.database.transaction() as session:
            live = await releases.get(session, target.live_release)
            build = await builds.get(session, live.build)
        return build.artifact_digest == kept.digest

    async def _configuration(self, target: Environment, manifest: Manifest) -> list[PlanChange]:
        number = f"release {target.releases_made + 1}"
        if target.live_release is None:
            return [_change("release", "create", number, after=self._host(target))]
        async with self.database.transaction() as session:
            live = await releases.get(session, target.live_release)
            scaled = await scales.list_for_environment(session, target.id)
            before = self.variables.open_all(
                await releases.variables_sealed(session, target.live_release)
            )
            after = {
                **manifest.variables.plain,
                **await self.variables.reveal(session, target.id),
            }
        changes = [_change("release", "create", number, before=f"release {live.number}")]
        changes += _differences("variable", _masked(before, after), _masked(after, before))
        return changes + _settings(manifest_of(live), manifest, scaled)

    async def _services(self, target: Environment, manifest: Manifest) -> list[PlanChange]:
        async with self.database.transaction() as session:
            have = {
                service.kind: service
                for service in await services.list_for_environment(session, target.id)
            }
        changes = []
        for kind in wanted_services(manifest):
            kept = have.get(kind)
            sets = "sets " + ", ".join(variables_of(kind, manifest.services))
            changes.append(
                _change("service", "keep", f"{kind} {kept.name}", after=sets)
                if kept is not None
                else _change("service", "create", kind.value, after=sets)
            )
        return changes


def _change(what: str, action: str, name: str, *, before: str = "", after: str = "") -> PlanChange:
    return PlanChange.model_validate(
        {"what": what, "action": action, "name": name, "before": before, "after": after}
    )


def _masked(values: dict[str, str], other: dict[str, str]) -> dict[str, str]:
    """Values that show whether they differ, and nothing else."""
    return {
        name: "(unchanged)" if other.get(name) == value else "(secret)"
        for name, value in values.items()
    }


def _settings(before: Manifest, after: Manifest, scaled: Iterable[Row]) -> list[PlanChange]:
    """What gantry.toml says otherwise, and what somebody asked for by hand: a deploy ends that."""
    wanted = {
        f"processes.{name}.instances": str(process.instances)
        for name, process in after.long_running.items()
    }
    by_hand = {
        f"processes.{row['process']}.instances": (str(row["count"]), row["set_by"])
        for row in scaled
    }
    found = [item for item in differences(before, after) if item.name not in by_hand]
    found += [
        Difference(name, f"{count} (gantry scale, {who})", wanted[name])
        for name, (count, who) in by_hand.items()
        if wanted.get(name, count) != count
    ]
    return [
        _change(
            "setting",
            "change" if item.before and item.after else "create" if item.after else "remove",
            item.name,
            before=item.before,
            after=item.after,
        )
        for item in sorted(found, key=lambda item: item.name)
    ]


def _differences(what: str, before: dict[str, str], after: dict[str, str]) -> list[PlanChange]:
    changes = []
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            changes.append(_change(what, "remove", name, before=before[name]))
        elif name not in before:
            changes.append(_change(what, "create", name, after=after[name]))
        elif before[name] != after[name] or after[name] == "(secret)":
            changes.append(_change(what, "change", name, before=before[name], after=after[name]))
    return changes
