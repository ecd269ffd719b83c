"""`.env.example`: which variables a project needs.

Rules, the first that applies:
1. "optional" in the comment on the line, or in the comment lines directly above it: optional.
2. "required" there: required.
3. an empty value (`NAME=`, `NAME=""`): required.
4. a placeholder (`<key>`, `changeme`, `your-…`, `xxx`, `...`, `***`), also as a part of it (`sk_test_***`,
   `https://<project>.example`): required.
5. any other value documents a default of the program's own: not required. Gantry never sets it.

A variable in a comment (`# NAME=…`) does not count. `[variables] optional` in gantry.toml wins over all of this.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from gantry.config.documents import text_of
from gantry.config.dotenv import Entry, parse_dotenv, scan_dotenv
from gantry.config.faults import SYNTAX, Fault, ManifestError
from gantry.config.fields import variable_fault
from gantry.config.manifest import Manifest

__all__ = ["Entry", "Requirement", "add_requirements", "parse_dotenv", "read_env_example"]

_OPTIONAL = re.compile(r"\boptional(?:ly)?\b", re.IGNORECASE)
_REQUIRED = re.compile(r"\b(?<!not )required\b", re.IGNORECASE)
_NOT_REQUIRED = re.compile(r"\bnot required\b", re.IGNORECASE)
_PLACEHOLDER = re.compile(
    r"<[^>]*>|\[[a-z][a-z _-]*\]|\.{3,}|…|x{3,}|change[-_ ]?(me|this)|replace[-_ ]?me|todo|tbd|"
    r"(your|replace|insert|enter)[-_ ].*",
    re.IGNORECASE,
)
# In a value without spaces, which is no sentence for people: what stands for the rest of a key, or for a part of an address.
_PARTIAL = re.compile(
    r"\*{3,}|\.{3,}$|…|<[^<>@]+>|\{\{[^{}]+\}\}|\[your\b[^\]]*\]|(?<![a-z])(x{3,}(?![a-z])|your[-_][a-z])",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Requirement:
    """What `.env.example` says of one variable.

    Attributes:
        reason: why it is required or not, as the end of a sentence.
    """

    name: str
    required: bool
    line: int
    reason: str

    def sentence(self, file: str) -> str:
        """For people: `.env.example:3: SESSION_SECRET is required: it has no value`."""
        kind = "required" if self.required else "not required"
        return f"{file}:{self.line}: {self.name} is {kind}: {self.reason}"


def read_env_example(
    content: bytes, file: str
) -> tuple[tuple[Requirement, ...], tuple[Fault, ...]]:
    """What the file says of each variable, and what is wrong with it. Variables that Gantry sets are left out."""
    try:
        text = text_of(content, file)
    except ManifestError as error:
        return (), error.faults
    entries, bad = scan_dotenv(text)
    faults = tuple(Fault(file, item.line, "", item.message, code=SYNTAX) for item in bad)
    return tuple(_judge(entry) for entry in entries if not variable_fault(entry.name)), faults


def add_requirements(manifest: Manifest, wanted: Iterable[Requirement]) -> Manifest:
    """`manifest` with the required variables of `.env.example` behind its own."""
    own = manifest.variables
    names = [item.name for item in wanted if item.required and item.name not in own.optional]
    required = tuple(dict.fromkeys((*own.required, *names)))
    return manifest.model_copy(update={"variables": own.model_copy(update={"required": required})})


def _judge(entry: Entry) -> Requirement:
    required, reason = _verdict(entry.value, " ".join((*entry.above, entry.comment)))
    return Requirement(entry.name, required, entry.line, reason)


def _verdict(value: str, comment: str) -> tuple[bool, str]:
    if _OPTIONAL.search(comment) or _NOT_REQUIRED.search(comment):
        return False, "its comment says optional"
    if _REQUIRED.search(comment):
        return True, "its comment says required"
    if not value:
        return True, "it has no value"
    if _PLACEHOLDER.fullmatch(value) or (" " not in value and _PARTIAL.search(value)):
        return True, "its value is a placeholder"
    return False, "its value documents a default"
