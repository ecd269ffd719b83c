"""Server-sent events, as the HTML standard defines them (section 9.2): only `event` and `data` matter here."""

from collections.abc import Iterable, Iterator


def events(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(name, data) of each event in a stream of lines without their line ends. Comments are skipped.

    An event that the stream's end cuts off is not an event (9.2.6).
    """
    name, data = "message", list[str]()
    for line in lines:
        if not line:
            if data:
                yield name, "\n".join(data)
            name, data = "message", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data.append(value)
