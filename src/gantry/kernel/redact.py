"""Keeping secrets out of everything that Gantry writes."""

import re
from collections.abc import Iterable

MASK = "[redacted]"
# What an address may carry that is nobody's business: who logs in, and everything behind `?` or `#`.
_CREDENTIALS = re.compile(r"(?<=://)[^/?#\s]*@|(?<=\?)[^#\s]+|(?<=#)\S+")
# Shorter values ("1", "true", "prod") are not secrets, and masking them would garble every line.
_SHORTEST_SECRET = 6


class Redactor:
    """Replaces known secret values in text.

    Parameters:
        secrets: the values; those shorter than 6 characters are ignored.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        lines = (line.strip() for value in secrets for line in (value, *value.splitlines()))
        # Longest first, so that a secret that contains another one is masked whole.
        self._values = sorted(
            {line for line in lines if len(line) >= _SHORTEST_SECRET}, key=len, reverse=True
        )

    def __call__(self, text: str) -> str:
        for value in self._values:
            # A line for each: whoever counts lines finds as many as before.
            text = text.replace(value, MASK if "\n" not in value else _mask(value))
        return text


def _mask(value: str) -> str:
    return "\n".join([MASK] * (value.count("\n") + 1))


def without_credentials(address: str) -> str:
    """An address that somebody typed, as an error may repeat it: without user, password, query and fragment."""
    return _CREDENTIALS.sub(lambda found: f"{MASK}@" if found[0].endswith("@") else MASK, address)
