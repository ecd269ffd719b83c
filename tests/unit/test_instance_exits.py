"""Why a process ended, and where it listens, in words."""

import pytest

from gantry.engines.runtime.protocol import Listener, ProcessState, ProcessStatus
from gantry.features.instances.doubts import bad_status, no_answer
from gantry.features.instances.exits import Exit, exit_of, explained, no_program
from tests.support.stories import at, exited

LOST = ProcessStatus("i-1", ProcessState.LOST, None, at(0))


@pytest.mark.parametrize(
    ("process", "exit"),
    [
        (exited(exit_code=0), Exit("exited with 0", "exit 0")),
        (exited(exit_code=1), Exit("exited with 1", "exit 1")),
        (exited(exit_code=128), Exit("exited with 128", "exit 128")),
        (exited(exit_code=255), Exit("exited with 255", "exit 255")),
        (exited(exit_code=129), Exit("was ended by SIGHUP, which Gantry did not send", "SIGHUP")),
        (exited(exit_code=130), Exit("was ended by SIGINT, which Gantry did not send", "SIGINT")),
        (exited(exit_code=143), Exit("was ended by SIGTERM, which Gantry did not send", "SIGTERM")),
        (
            exited(exit_code=137),
            Exit("was ended by SIGKILL, which Gantry did not send", "SIGKILL", fault=False),
        ),
        (exited(exit_code=139), Exit("crashed with SIGSEGV", "SIGSEGV")),
        (exited(exit_code=134), Exit("crashed with SIGABRT", "SIGABRT")),
        (
            exited(exit_code=127),
            Exit(
                "exited with 127: its command names a program that does not exist",
                "program missing",
                hopeless=True,
            ),
        ),
        (
            exited(exit_code=126),
            Exit(
                "exited with 126: a program of its command cannot be executed",
                "exit 126",
                hopeless=True,
            ),
        ),
        (
            exited(exit_code=137, out_of_memory=True),
            Exit("ran out of memory", "memory", out_of_memory=True),
        ),
        (
            exited(exit_code=137, out_of_memory=True, memory_limit_bytes=512_000_000),
            Exit(
                "ran out of memory: it may hold 512 MB (processes.*.memory in gantry.toml)",
                "memory 512 MB",
                out_of_memory=True,
            ),
        ),
        (
            exited(exit_code=143, told_to_end=True),
            Exit("ended, as Gantry had told it to", "told to end", fault=False),
        ),
        (LOST, Exit("vanished, as after a restart of the machine", "vanished", fault=False)),
        (None, Exit("vanished, as after a restart of the machine", "vanished", fault=False)),
    ],
)
def test_every_end_has_a_reason(process: ProcessStatus | None, exit: Exit) -> None:
    assert exit_of(process, killed_for="", settled=False) == exit


def test_what_gantry_killed_says_why_whatever_the_process_says() -> None:
    killed = Exit("was killed by Gantry: stopped answering: /: 500", "killed by Gantry")
    for process in (None, LOST, exited(exit_code=137, told_to_end=True)):
        assert exit_of(process, killed_for="stopped answering: /: 500", settled=True) == killed


def test_a_missing_program_is_no_surprise_in_what_has_run_well() -> None:
    assert not exit_of(exited(exit_code=127), killed_for="", settled=True).hopeless
    assert no_program("there is no x") == Exit(
        "could not be started: there is no x", "program missing", hopeless=True
    )


@pytest.mark.parametrize(
    ("output", "port"),
    [
        ("Error: listen EADDRINUSE: address already in use :::4567", 4567),
        ("Error: listen EADDRINUSE: address already in use 127.0.0.1:4567\n    at node:net", 4567),
        (
            (
                "[Errno 98] error while attempting to bind on address ('127.0.0.1', 8000): "
                "address already in use"
            ),
            8000,
        ),
        ("listen tcp :8080: bind: address already in use", 8080),
        ("[ERROR] Connection in use: ('0.0.0.0', 8000)", 8000),
        ('Address already in use - bind(2) for "127.0.0.1" port 3000 (Errno::EADDRINUSE)', 3000),
        ("Address already in use\nPort 5000 is in use by another program.", 5000),
        ("Web server failed to start. Port 8080 was already in use.", 8080),
        ("bind() to 0.0.0.0:80 failed (98: Address already in use)", 80),
    ],
)
def test_a_port_that_is_taken_is_recognised(output: str, port: int) -> None:
    told = explained(Exit("exited with 1", "exit 1"), f"starting\n{output}\n", 22771)
    assert told.sentence == (
        f"exited with 1: port {port} is taken by another process (EADDRINUSE); "
        "it should listen on $PORT (22771)"
    )
    assert (told.short, told.fault) == ("port taken", True)


def test_a_port_is_told_only_where_it_helps() -> None:
    ended = Exit("exited with 1", "exit 1")
    assert explained(ended, "Error: no database\n", 22771) == ended
    own = explained(ended, "EADDRINUSE :::22771", 22771).sentence
    assert own == "exited with 1: port 22771 is taken by another process (EADDRINUSE)"
    worker = explained(ended, "EADDRINUSE", None).sentence
    assert worker == "exited with 1: its port is taken by another process (EADDRINUSE)"
    crashed = Exit("crashed with SIGSEGV", "SIGSEGV")
    assert explained(crashed, "EADDRINUSE :::4567", 22771) == crashed


@pytest.mark.parametrize(
    ("listeners", "said"),
    [
        (None, "/: refused"),
        ((), "nothing of it listens yet; it should on $PORT (22771)"),
        ((Listener("127.0.0.1", 22771),), "/: refused"),
        ((Listener("0.0.0.0", 22771),), "/: refused"),
        (
            (Listener("127.0.0.1", 3099),),
            "it listens on 127.0.0.1:3099, not on $PORT (22771)",
        ),
        (
            (Listener("::", 3000), Listener("127.0.0.1", 9229)),
            "it listens on [::]:3000, 127.0.0.1:9229, not on $PORT (22771)",
        ),
        (
            tuple(Listener("127.0.0.1", port) for port in (1, 2, 3, 4)),
            "it listens on 127.0.0.1:1, 127.0.0.1:2, 127.0.0.1:3, not on $PORT (22771)",
        ),
        (
            (Listener("::1", 22771), Listener("127.0.0.1", 9229)),
            "it listens on [::1]:22771 for IPv6 only; it is asked at 127.0.0.1:22771",
        ),
        (
            (Listener("::", 22771),),
            "it listens on [::]:22771 for IPv6 only; it is asked at 127.0.0.1:22771",
        ),
        (
            (Listener("10.0.0.2", 22771),),
            "it listens on 10.0.0.2:22771 only; it is asked at 127.0.0.1:22771",
        ),
        (
            (Listener("/app/web.sock"),),
            "it listens on the Unix socket /app/web.sock, not on $PORT (22771)",
        ),
        (
            (Listener("127.0.0.1", 3099), Listener("/app/web.sock")),
            "it listens on 127.0.0.1:3099, not on $PORT (22771)",
        ),
    ],
)
def test_where_it_listens_instead_is_said(
    listeners: tuple[Listener, ...] | None, said: str
) -> None:
    assert no_answer("/", "refused", 22771, listeners) == said


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (500, "/up: status 500"),
        (503, "/up: status 503"),
        (
            401,
            "/up: status 401: set health.path of processes.web in gantry.toml",
        ),
        (
            400,
            (
                "/up: status 400, asked for the host shop.example: set "
                "health.path and health.host of processes.web in gantry.toml"
            ),
        ),
        (
            404,
            (
                "/up: status 404, asked for the host shop.example: set "
                "health.path and health.host of processes.web in gantry.toml"
            ),
        ),
        (499, "/up: status 499: set health.path of processes.web in gantry.toml"),
        (399, "/up: status 399"),
    ],
)
def test_a_bad_status_names_the_keys_that_say_what_is_asked(status: int, said: str) -> None:
    assert bad_status("/up", status, "shop.example") == said
