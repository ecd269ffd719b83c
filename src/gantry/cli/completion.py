"""`gantry completion`."""

import rich_click as click
from click.shell_completion import get_completion_class

from gantry.cli.command import command

SHELLS = ("bash", "zsh", "fish")


@command(
    "completion",
    ("bash", "echo 'eval \"$(gantry completion bash)\"' >> ~/.bashrc"),
    ("zsh", "echo 'eval \"$(gantry completion zsh)\"' >> ~/.zshrc"),
    ("fish", "gantry completion fish > ~/.config/fish/completions/gantry.fish"),
)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that completes commands in a shell."""
    kind = get_completion_class(shell)
    assert kind is not None, f"click knows {shell}"
    click.echo(kind(ctx.find_root().command, {}, "gantry", "_GANTRY_COMPLETE").source())
