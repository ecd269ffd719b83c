"""Finding error codes in source files."""

from pathlib import Path

from gantry.cli.codes import Code, page, scan

SOURCE = """
class PortError(UserError): ...
class Odd(Exception): ...

def f(name):
    raise PortError("port.taken", f"port {name} of {1 + 1} is " "used", hint=f"use {name}{name}")
    raise UserError(code="a.keyword", message="said" + name)
    raise Odd("not.ours", "x")
    raise UserError(name, "a code that is no literal")
    raise Cancelled("deploy.cancelled", "text")
    return BuildOutcome(code="build.timeout", message="too long", hint="more time")
"""


def found(tmp_path: Path) -> list[Code]:
    (tmp_path / "a.py").write_text(SOURCE)
    return scan([tmp_path / "a.py"])


def test_scan(tmp_path: Path) -> None:
    assert found(tmp_path) == [
        Code("a.keyword", "UserError", "said…", ""),
        Code("build.timeout", "PermanentError", "too long", "more time"),
        Code("deploy.cancelled", "Cancelled", "text", ""),
        Code("port.taken", "UserError", "port … of … is used", "use …"),
    ]


def test_page(tmp_path: Path) -> None:
    text = page(found(tmp_path))
    assert (
        "## port\n\n### `port.taken`\n\nUserError.\n\n- port … of … is used *Hint: use …*\n" in text
    )
    assert "| UserError | 2 | 400 |" in text
