"""The few words of the Redis protocol that are needed to see whether a server answers."""

import asyncio

_TIMEOUT_S = 2.0


async def answers(port: int, password: str) -> bool:
    """Whether a server on this loopback port knows the password and answers."""
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            return await _converse(port, (("AUTH", password), ("PING",)))
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return False


async def _converse(port: int, commands: tuple[tuple[str, ...], ...]) -> bool:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for command in commands:
            writer.write(_encode(command))
            # "+" begins a success, "-" an error.
            if not (await reader.readuntil(b"\r\n")).startswith(b"+"):
                return False
        return True
    finally:
        writer.close()


def _encode(words: tuple[str, ...]) -> bytes:
    parts = [f"*{len(words)}\r\n".encode()]
    for word in words:
        data = word.encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)
