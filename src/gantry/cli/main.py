"""The root command, the list of all commands, and the one place where errors become exit codes."""

import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper

import rich_click as click

from gantry import __version__
from gantry.cli import failures
from gantry.cli.platform import Platform
from gantry.cli.session import LOCAL, Session
from gantry.kernel.errors import GantryError, UserError

PROGRAM = "gantry"

# Section of the help -> command -> (module below gantry.cli, summary). Summaries stand here as well as in the commands'
# docstrings, so that `gantry --help` imports none of them; a test keeps the two alike.
SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Start": {
        "init": ("init", "Write a gantry.toml for the project in PATH (default: here)."),
        "up": ("machine", "Start Gantry: the control plane, the edge and the databases."),
        "down": ("machine", "Stop Gantry and everything it runs."),
        "setup": ("setup", "Make this machine a server for the internet."),
        "doctor": ("machine", "Check that this machine has what Gantry needs."),
        "login": ("remotes", "Remember another machine's platform, so that commands go there."),
        "logout": ("remotes", "Forget a remembered platform and its token, here."),
        "remotes": (
            "remotes",
            "List the platforms that are remembered, and which one commands go to.",
        ),
    },
    "Move": {
        "export": ("moving", "Write this machine's platform into one encrypted file."),
        "import": ("moving", "Make the platform of an export on this machine."),
        "upgrade": ("upgrade", "Replace Gantry by another version; sites go on meanwhile."),
        "uninstall": (
            "moving",
            "Remove Gantry's platform from this machine, with everything it runs.",
        ),
    },
    "Deploy": {
        "deploy": ("deploy", "Deploy the project in PATH (default: here) to an environment."),
        "plan": ("deploy", "Show what a deploy would change, without changing anything."),
        "promote": ("deploys", "Deploy what is live in one environment to another."),
        "rollback": ("deploys", "Return an environment to an earlier release."),
        "redeploy": ("deploys", "Make a new release of what is live, with the variables of now."),
        "restart": (
            "deploys",
            "Start the live release's processes anew, one after the other.",
        ),
        "rollout": ("rollouts", "Watch and control how traffic moves to a new release."),
        "cancel": ("deploys", "Cancel a deploy, whatever step it is at."),
        "purge": ("routes", "Remove responses from the edge's cache, by path or by tag."),
        "maintenance": (
            "maintenance",
            "Show visitors a page in place of an environment's product.",
        ),
        "deploys": (
            "deploy_history",
            "List past deploys, read what their steps printed, and watch one that runs.",
        ),
        "build-cache": ("builds", "Show how large a project's build cache is, and clear it."),
        "releases": ("releases", "List an environment's releases, newest first."),
    },
    "Rehearse": {
        "drill": ("drills", "Inject faults and check what still works."),
    },
    "Inspect": {
        "status": ("status", "Show every project, and which release really answers."),
        "ps": ("scales", "List an environment's processes, and commands that run there by hand."),
        "logs": ("logs", "Show what an environment's instances print, in the order of time."),
        "requests": (
            "requests",
            "Show requests of an environment's visitors, as the edge has logged them.",
        ),
        "crons": (
            "crons",
            "List scheduled commands and their runs, read their output, and run one now.",
        ),
        "open": ("projects", "Open an environment's site, or the console, in the browser."),
        "audit": ("audit", "Show who changed what, newest first."),
    },
    "Work in it": {
        "run": ("runs", "Run a command, or a shell, where the product runs."),
        "runs": ("runs", "List commands that people ran by hand, read their output, stop them."),
        "psql": ("runs", "Open a prompt on an environment's Postgres database."),
        "redis": ("runs", "Open a prompt on an environment's Redis cache."),
        "scale": (
            "scales",
            "Change how many instances of a process run, without a deploy.",
        ),
    },
    "Configure": {
        "domains": ("domains", "Show where each name leads, its certificate, and what to do."),
        "settings": ("settings", "Show this platform's settings, and where each comes from."),
        "env": ("variables", "Set, list, remove, import, copy and compare variables."),
        "token": ("accounts", "Create, list and revoke API tokens."),
        "destroy": ("projects", "Delete an environment or a whole project."),
    },
    "Tools": {
        "schema": ("projects", "Print the JSON schema of gantry.toml."),
        "completion": ("completion", "Print the script that completes commands in a shell."),
        "version": ("machine", "Show the versions of this program and of the control plane."),
    },
}
_MODULES = {name: module for section in SECTIONS.values() for name, (module, _) in section.items()}
_ALIASES = {"tokens": "token", "variables": "env", "cron": "crons"}

_HELP_CONFIG = click.RichHelpConfiguration(
    text_markup="rich",
    style_option="bold cyan",
    style_command="bold cyan",
    style_options_panel_border="dim",
    style_commands_panel_border="dim",
    style_options_table_leading=0,
    max_width=100,
    command_groups={
        PROGRAM: [{"name": name, "commands": list(names)} for name, names in SECTIONS.items()]
    },
)


class LazyGroup(click.RichGroup):
    """Knows its commands by name and summary; imports a command's module when it is called."""

    def load(self, name: str) -> click.Command:
        """The real command in place of its summary."""
        module = import_module(f"gantry.cli.{_MODULES[name]}")
        (command,) = (
            value
            for value in vars(module).values()
            if isinstance(value, click.Command) and value.name == name
        )
        self.commands[name] = command
        return command

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_MODULES)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = _ALIASES.get(args[0], args[0])
        if name in _MODULES:
            self.load(name)
        elif name not in self.commands:
            _answer_known_name(name)
        return super().resolve_command(ctx, [name, *args[1:]])


def _answer_known_name(name: str) -> None:
    """Say what the command of another tool is here.

    Raises:
        UserError: `cli.other-name`.
    """
    from gantry.cli.known_names import KNOWN_NAMES  # noqa: PLC0415 -- needed where a name is not ours only

    line = KNOWN_NAMES.get(name.lower())
    if line is not None:
        raise UserError("cli.other-name", f"there is no command {name!r}", hint=line)


def build_cli() -> LazyGroup:
    """The whole command tree. Running it needs a `Session` as the context's object."""

    @click.group(
        PROGRAM,
        cls=LazyGroup,
        context_settings={
            "help_option_names": ["-h", "--help"],
            "rich_help_config": _HELP_CONFIG,
        },
        epilog="Each command has examples: [bold cyan]gantry deploy --help[/]",
    )
    @click.version_option(__version__, prog_name=PROGRAM)
    @click.option(
        "--url",
        default="",
        metavar="URL",
        help="Another machine's platform for this command, or `local`; see gantry remotes.",
    )
    @click.pass_context
    def gantry(ctx: click.Context, url: str) -> None:
        """Takes a team's web product from a commit to production without dropping a request."""
        session = ctx.find_object(Session)
        if url and session is not None:
            session.url = _url(url)

    for section in SECTIONS.values():
        for name, (_, summary) in section.items():
            gantry.add_command(click.RichCommand(name=name, short_help=summary))
    return gantry


def _url(given: str) -> str:
    from gantry.config.setting_table import parse_url  # noqa: PLC0415
    from gantry.kernel.redact import without_credentials  # noqa: PLC0415

    try:
        return LOCAL if given == LOCAL else parse_url(given)
    except ValueError as error:
        raise click.BadParameter(
            f"{without_credentials(given)!r} {error}", param_hint="--url"
        ) from None


def run(platform: Platform, argv: Sequence[str], *, session: Session | None = None) -> int:
    """Run one command line.

    Parameters:
        argv: without the program's name.
        session: replaces consoles, clock and connection in tests.

    Returns:
        The exit code: 0, or that of the error's class (see `gantry.kernel.errors`).
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a tick gets a ?
    session = session or Session(platform)
    cli = build_cli()
    try:
        code = cli.main(list(argv), prog_name=PROGRAM, standalone_mode=False, obj=session)
        return code if isinstance(code, int) else 0
    except GantryError as error:
        return failures.report(session, error)
    except SystemExit as error:
        # rich-click, after the help of a group, and when the reader of a pipe has gone
        return error.code if isinstance(error.code, int) else 1
    except click.ClickException as error:
        return failures.report(session, failures.from_click(error))
    except (click.Abort, KeyboardInterrupt):
        session.say("interrupted")
        return failures.INTERRUPTED
    except Exception as error:  # noqa: BLE001 -- the last place where a defect can be shown decently
        return failures.report(session, failures.unexpected(session, error))
    finally:
        session.close()
