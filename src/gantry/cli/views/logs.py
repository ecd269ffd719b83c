"""Log lines of several instances, each with a coloured name in front."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from rich.text import Text

from gantry.features.instances.bodies import InstanceBody, LogBody

# Colours of the terminal's own palette, so that they can be read on light and on dark.
_COLOURS = ("cyan", "magenta", "green", "yellow", "blue")


@dataclass
class Labels:
    """Names of the instances: `web.0 r3`.

    Attributes:
        process: show only this process; empty for all. `mail` also means `worker.mail`.
    """

    process: str = ""
    _known: dict[str, InstanceBody] = field(default_factory=dict)

    def learn(self, instances: Iterable[InstanceBody]) -> None:
        """Remember who they are; those that are gone stay known."""
        self._known.update({each.id: each for each in instances})

    def knows(self, source: str) -> bool:
        return source in self._known

    def wanted(self, source: str) -> bool:
        """Whether the lines of `source` are asked for. An unknown one is shown rather than lost."""
        known = self._known.get(source)
        return not self.process or known is None or matches(known.process, self.process)

    def label(self, source: str) -> str:
        known = self._known.get(source)
        return f"{known.process}.{known.slot} r{known.release_number}" if known else source


def matches(process: str, asked: str) -> bool:
    """Whether a process is the one that is asked for."""
    return asked in (process, process.partition(".")[2])


@dataclass
class Printer:
    """Joins the pieces of lines, and sets each line behind its label."""

    labels: Labels
    _rests: dict[str, str] = field(default_factory=dict)
    _styles: dict[str, str] = field(default_factory=dict)

    def lines(self, body: LogBody) -> Iterator[Text]:
        """The lines that are whole now."""
        *whole, rest = (self._rests.get(body.source, "") + body.text).split("\n")
        self._rests[body.source] = rest
        for line in whole:
            yield self._line(body.source, line)

    def rest(self) -> Iterator[Text]:
        """Lines that never ended."""
        for source, text in self._rests.items():
            if text:
                yield self._line(source, text)
        self._rests.clear()

    def _line(self, source: str, line: str) -> Text:
        style = self._styles.setdefault(source, _COLOURS[len(self._styles) % len(_COLOURS)])
        # The product's own colours stay; other control sequences would move the cursor.
        return Text.assemble((self.labels.label(source), style), " │ ", Text.from_ansi(line))
