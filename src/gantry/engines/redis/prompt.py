"""A prompt for a Redis server, for machines without `redis-cli`. Runs alone in a sandbox, with the standard library only.

Reads one command a line, from a terminal or a pipe, or takes one from its arguments. What it prints is what `redis-cli`
prints: in a terminal with types and numbers, in a pipe the bare values.
"""

import contextlib
import os
import shlex
import socket
import ssl
import sys
from collections.abc import Iterator
from typing import BinaryIO

_TIMEOUT_S = 10.0

Reply = str | int | float | bool | None | Exception | bytes | list["Reply"]


class Connection:
    """One connection that speaks RESP2.

    Raises:
        OSError: the server does not answer.
    """

    def __init__(self) -> None:
        address = (os.environ["REDIS_HOST"], int(os.environ["REDIS_PORT"]))
        plain = socket.create_connection(address, _TIMEOUT_S)
        # Commands such as BLPOP wait for as long as they were told to.
        plain.settimeout(None)
        if os.environ.get("REDIS_TLS"):
            plain = ssl.create_default_context().wrap_socket(plain, server_hostname=address[0])
        self._socket = plain
        self._file: BinaryIO = plain.makefile("rb")

    def log_in(self) -> None:
        """Authenticate and choose the database, as far as the address says."""
        user, password = os.environ.get("REDIS_USER", ""), os.environ.get("REDIS_PASSWORD", "")
        if password:
            self._must(["AUTH", *([user] if user else []), password])
        if os.environ.get("REDIS_NUMBER", "0") != "0":
            self._must(["SELECT", os.environ["REDIS_NUMBER"]])

    def ask(self, words: list[str]) -> Reply:
        """Send a command and read its answer."""
        parts = [b"*%d\r\n" % len(words)]
        for word in words:
            data = word.encode("utf-8", "surrogateescape")
            parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
        self._socket.sendall(b"".join(parts))
        return self.read()

    def read(self) -> Reply:
        """The next answer.

        Raises:
            ConnectionError: the server closed the connection.
        """
        line = self._file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the server closed the connection")
        kind, rest = line[:1], line[1:-2]
        match kind:
            case b"+":
                return rest.decode("utf-8", "replace")
            case b"-":
                return RuntimeError(rest.decode("utf-8", "replace"))
            case b":":
                return int(rest)
            case b"$":
                return self._text(int(rest))
            case b"*":
                return None if int(rest) < 0 else [self.read() for _ in range(int(rest))]
            case _:
                pass
        raise ConnectionError(f"an answer that is not understood: {line[:40]!r}")

    def _text(self, size: int) -> bytes | None:
        if size < 0:
            return None
        data = self._file.read(size + 2)
        if len(data) < size + 2:
            raise ConnectionError("the server closed the connection")
        return data[:-2]

    def _must(self, words: list[str]) -> None:
        answer = self.ask(words)
        if isinstance(answer, Exception):
            raise ConnectionError(str(answer))


def shown(reply: Reply, *, indent: str = "", typed: bool) -> Iterator[bytes]:
    """The lines of an answer."""
    if isinstance(reply, list):
        if not reply and typed:
            yield b"(empty array)"
        for number, item in enumerate(reply, start=1):
            label = f"{number}) " if typed else ""
            head, *rest = tuple(shown(item, indent=indent + " " * len(label), typed=typed)) or (
                b"",
            )
            yield label.encode() + head
            yield from (indent.encode() + b" " * len(label) + line for line in rest)
    elif isinstance(reply, Exception):
        yield f"(error) {reply}".encode()
    elif isinstance(reply, bytes):
        yield b'"' + _quoted(reply) + b'"' if typed else reply
    elif reply is None:
        yield b"(nil)" if typed else b""
    elif isinstance(reply, int):
        yield f"(integer) {reply}".encode() if typed else str(reply).encode()
    else:
        yield str(reply).encode()


def _quoted(data: bytes) -> bytes:
    text = data.decode("utf-8", "backslashreplace")
    text = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
    return text.replace('"', '\\"').encode()


def commands(prompt: str) -> Iterator[list[str]]:
    """The commands that are typed or piped in."""
    typed = sys.stdin.isatty()
    if typed:
        with contextlib.suppress(ImportError):
            __import__("readline")  # editing, and a history of this session
    while True:
        try:
            line = input(prompt) if typed else sys.stdin.readline()
        except EOFError:
            print()
            return
        except KeyboardInterrupt:
            print()
            continue
        if not typed and not line:
            return
        try:
            words = shlex.split(line)
        except ValueError as error:
            print(f"(error) {error}", file=sys.stderr)
            continue
        if words and words[0].lower() in ("quit", "exit"):
            return
        if words:
            yield words


def main() -> int:
    """Entry point."""
    typed = sys.stdout.isatty()
    prompt = f"{os.environ['REDIS_HOST']}:{os.environ['REDIS_PORT']}> "
    failed = False
    given = [sys.argv[1:]] if sys.argv[1:] else commands(prompt)
    try:
        connection = Connection()
        connection.log_in()
        for words in given:
            answer = connection.ask(words)
            failed = isinstance(answer, Exception)
            for line in shown(answer, typed=typed):
                sys.stdout.buffer.write(line + b"\n")
            sys.stdout.buffer.flush()
            if words[0].lower() in ("monitor", "subscribe", "psubscribe"):
                _follow(connection, typed=typed)
    except (OSError, ssl.SSLError) as error:
        print(f"{prompt}{error}", file=sys.stderr)
        return 1
    return int(failed)


def _follow(connection: Connection, *, typed: bool) -> None:
    """Print what comes until Ctrl-C, which ends the connection's use for anything else."""
    try:
        while True:
            for line in shown(connection.read(), typed=typed):
                sys.stdout.buffer.write(line + b"\n")
            sys.stdout.buffer.flush()
    except KeyboardInterrupt:
        raise ConnectionError("interrupted") from None


if __name__ == "__main__":
    sys.exit(main())
