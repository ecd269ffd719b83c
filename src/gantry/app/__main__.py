"""The program `gantry`."""

import sys


def main() -> None:
    """Run the command line."""
    # Assertions guard invariants in production too; -O would remove them.
    if sys.flags.optimize:
        sys.exit("Gantry does not run under python -O: its assertions are part of it")
    from gantry.app.local import LocalPlatform  # noqa: PLC0415 -- after the check above
    from gantry.cli.main import run  # noqa: PLC0415

    sys.exit(run(LocalPlatform(), sys.argv[1:]))


if __name__ == "__main__":
    main()
