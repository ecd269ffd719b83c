"""What all products with a package.json have in common: packages are installed, then the build script runs."""

from collections.abc import Mapping
from dataclasses import dataclass

from gantry.engines.builders.context import Context
from gantry.engines.builders.packages import (
    Manager,
    find_manager,
    install_phase,
    manager_env,
    needs_install,
    packages_of,
    run_script,
)
from gantry.engines.builders.plan import Cache, Packages, Phase
from gantry.engines.builders.tree import Package, read_package
from gantry.engines.builders.workspaces import needed


@dataclass(frozen=True, slots=True)
class NodeSteps:
    """The steps of a product.

    Attributes:
        build: the command that builds it; empty when nothing is built.
        env: variables of every phase.
    """

    package: Package
    manager: Manager
    phases: tuple[Phase, ...]
    packages: Packages | None
    caches: tuple[Cache, ...]
    env: Mapping[str, str]
    build: str

    @property
    def installs(self) -> bool:
        """Whether there are installed packages."""
        return any(phase.name == "install" for phase in self.phases)


def node_steps(
    context: Context,
    *,
    default: str = "",
    env: Mapping[str, str] | None = None,
    then: str = "",
) -> NodeSteps:
    """The steps of the product of `context`.

    Parameters:
        default: builds it when the manifest and package.json name no command.
        env: variables of the build besides its name.
        then: completes the installation, where that is not the manifest's own.
    """
    request, tree = context.request, context.tree
    package, manager = read_package(context.product), find_manager(tree)
    install = install_phase(tree, request.install, then)
    installs = needs_install(tree) or bool(request.install)
    build, label = _build(context, package, manager, default)
    variables = {"GANTRY_BUILD": context.build_id, **(env or {})}
    return NodeSteps(
        package=package,
        manager=manager,
        phases=(
            *((install,) if installs else ()),
            *((Phase("build", label, build, variables),) if build else ()),
        ),
        packages=packages_of(tree, install, context.versions) if needs_install(tree) else None,
        caches=manager.caches if installs else (),
        env=manager_env(tree),
        build=build,
    )


def _build(context: Context, package: Package, manager: Manager, default: str) -> tuple[str, str]:
    """The build's command, and what people call it."""
    if context.request.command:
        return context.request.command, context.request.command
    own = run_script(package, "build", manager) if "build" in package.scripts else default
    before = needed(context.tree, context.root) if context.root and own else ()
    if not before:
        return own, own
    if read_package(context.tree).depends_on("turbo") and context.tree.has("turbo.json"):
        # Loose: a task sees the variables of the build, not only those that turbo.json lists.
        command = f"turbo run build --filter={package.name or './' + context.root} --env-mode=loose"
        return command, command
    top = "/".join([".."] * len(context.root.split("/")))
    first = [f"(cd {top}/{folder} && {manager.name} run build)" for folder in before]
    return " && ".join([*first, own]), f"{own}, after {', '.join(before)}"
