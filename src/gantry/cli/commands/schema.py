"""`gantry schema`."""

import rich_click as click

from gantry.cli.command import command
from gantry.config.schema import schema_text


@command(
    "schema",
    ("for an editor that checks TOML files", "gantry schema > gantry.schema.json"),
)
def schema() -> None:
    """Print the JSON schema of gantry.toml."""
    click.echo(schema_text(), nl=False)


COMMANDS = {"schema": schema}
