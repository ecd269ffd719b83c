""".env files and what .env.example requires."""

import pytest
from hypothesis import given, strategies as st

from gantry.config.dotenv import Entry, parse_dotenv, scan_dotenv
from gantry.config.env_example import read_env_example
from gantry.config.load import load_manifest
from gantry.kernel.errors import UserError

FILE = """\
# A file with everything.

A=1
export B = two words # a comment
C="quoted # no comment" # a comment
D='single $NOT_EXPANDED \\n'
E="several
lines"
F=`a "b" 'c'`
G="\\n\\t\\"\\\\\\x"

# above
# and above
H=
I=a#b
J=#nothing
"""


def test_every_form_of_a_line() -> None:
    assert parse_dotenv(FILE) == (
        Entry("A", "1", 3),
        Entry("B", "two words", 4, "a comment"),
        Entry("C", "quoted # no comment", 5, "a comment"),
        Entry("D", "single $NOT_EXPANDED \\n", 6),
        Entry("E", "several\nlines", 7),
        Entry("F", "a \"b\" 'c'", 9),
        Entry("G", '\n\t"\\\\x', 10),
        Entry("H", "", 14, above=("above", "and above")),
        Entry("I", "a#b", 15),
        Entry("J", "", 16, "nothing"),
    )


def test_windows_lines_and_a_byte_order_mark() -> None:
    assert parse_dotenv("\ufeffA=1\r\nB='2'\r\n") == (Entry("A", "1", 1), Entry("B", "2", 2))


def test_values_are_not_shown_by_accident() -> None:
    assert "hunter2" not in repr(parse_dotenv("PASSWORD=hunter2"))


def test_every_bad_line_is_named() -> None:
    with pytest.raises(UserError) as caught:
        parse_dotenv('A=1\nthis is prose\nA=2\n=3\nB: 4\nC="open\nD="1" 2\n', where=".env.local")
    assert caught.value.code == "dotenv.invalid"
    assert caught.value.where == ".env.local:2"
    assert caught.value.message.splitlines() == [
        ".env.local:2: is not NAME=value",
        ".env.local:3: A is set on line 1 already",
        ".env.local:4: is not NAME=value",
        ".env.local:5: is not NAME=value",
        ".env.local:6: C: the value's quotes do not end, or something follows them",
        ".env.local:7: D: the value's quotes do not end, or something follows them",
    ]


@given(st.text() | st.text(alphabet="A=\"'`\\\n# \r\x00export", max_size=40))
def test_arbitrary_text_is_read_to_its_end(text: str) -> None:
    entries, bad = scan_dotenv(text)
    last = text.replace("\r\n", "\n").count("\n") + 1
    assert all(
        1 <= line <= last for line in [entry.line for entry in entries] + [one.line for one in bad]
    )
    assert len({entry.name for entry in entries}) == len(entries)


@given(
    st.dictionaries(
        st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True),
        st.text(
            alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=20
        ),
    )
)
def test_what_is_written_in_double_quotes_is_read_back(values: dict[str, str]) -> None:
    def quoted(value: str) -> str:
        return value.replace("\\", "\\\\").replace('"', '\\"')

    text = "".join(f'{name}="{quoted(value)}"\n' for name, value in values.items())
    assert {entry.name: entry.value for entry in parse_dotenv(text)} == values


def test_which_variables_are_required_and_why() -> None:
    content = b"""\
SESSION_SECRET=
# Optional: errors are sent there.
SENTRY_DSN=
LOG_LEVEL=info
API_KEY=<your key>
TOKEN=changeme   # required in production
MAIL_FROM=noreply@shop.example  # required
EMPTY=""  # optional

# not required for tests
EXTRA=
# COMMENTED=
PORT=3000
"""
    found, faults = read_env_example(content, ".env.example")
    assert faults == ()
    assert [item.sentence(".env.example") for item in found] == [
        ".env.example:1: SESSION_SECRET is required: it has no value",
        ".env.example:3: SENTRY_DSN is not required: its comment says optional",
        ".env.example:4: LOG_LEVEL is not required: its value documents a default",
        ".env.example:5: API_KEY is required: its value is a placeholder",
        ".env.example:6: TOKEN is required: its comment says required",
        ".env.example:7: MAIL_FROM is required: its comment says required",
        ".env.example:8: EMPTY is not required: its comment says optional",
        ".env.example:11: EXTRA is not required: its comment says optional",
    ]


@pytest.mark.parametrize(
    "value",
    [
        "***", "postgresql://***", "sk_test_***", "whsec_***", "sk-...", "pk_live_xxxxxxxx", "G-XXXXXXXXXX",
        "https://<project>.supabase.co", "https://your-project.supabase.co", "{{token}}", "changethis", "change-me",
        "postgresql://postgres:[YOUR-PASSWORD]@db.example/postgres", "<key>", "[api key]", "your secret key", "xxx",
        "enter your key", "insert_here", "TODO", "…",
    ],
)  # fmt: skip
def test_a_placeholder_is_no_value(value: str) -> None:
    (found,), faults = read_env_example(f'KEY="{value}"\n'.encode(), ".env.example")
    assert (faults, found.required, found.reason) == ((), True, "its value is a placeholder")


@pytest.mark.parametrize(
    "value",
    [
        "info", "3000", "http://localhost:3000", "*/5 * * * *", "0 3 * * *", "src/**/*.ts", "[]", '["a", "b"]', "a,b,c",
        "Loading more ...", "Acme <hello@acme.example>", "Find your way", "maxxxing", "postgresql://shop:shop@localhost/shop",
        "../files", "{}", "true", "smtp.example.com",
    ],
)  # fmt: skip
def test_a_default_of_the_product_s_own_is_not_asked_for(value: str) -> None:
    (found,), faults = read_env_example(f"KEY='{value}'\n".encode(), ".env.example")
    assert (faults, found.required) == ((), False)


def test_requirements_are_added_behind_the_manifests_own() -> None:
    manifest = load_manifest(
        '[project]\nname = "a"\n[variables]\nrequired = ["B"]\noptional = ["C"]\n',
        env_example=b"A=\nB=\nC=\n",
    )
    assert manifest.variables.required == ("B", "A")
    assert manifest.for_environment("production").variables.required == ("B", "A")
