"""How programs behave: a source says it of its builds, migrations and instances, a script of one process."""

from dataclasses import dataclass

from gantry.engines.runtime.protocol import Listener

SIGKILL, SIGTERM = 137, 143

# How long builds, tests and migrations take, and instances until they listen.
TASK_S = 0.3
BOOT_S = 0.3
_SOURS_AFTER_S = 30.0


@dataclass(frozen=True, slots=True)
class Script:
    """How one process behaves.

    Attributes:
        exits_after_s: `None`: it lives until it is told to stop.
        listens_after_s: when it answers on its port; `None`: never.
        listens_at: where else it waits for connections, of which no visitor knows.
        stops_after_s: how long it takes to end after SIGTERM; `None`: it ignores it.
        fails_after_s: from when on it answers with status 500, but for its health check; `None`: never.
        home_s: how long the home page takes.
        ends_in_time: `False`: nothing ends it when its time is up.
        dies_per_hour: rate of crashes at random.
        exists: `False`: there is no such program.
        echoes: it writes what it is sent, and ends with its input.
        reads: `False`: it never takes what it is sent.
    """

    exits_after_s: float | None = None
    exit_code: int = 0
    listens_after_s: float | None = 0.0
    listens_at: tuple[Listener, ...] = ()
    stops_after_s: float | None = 0.0
    stop_exit_code: int = SIGTERM
    fails_after_s: float | None = None
    home_s: float = 0.001
    out_of_memory: bool = False
    ends_in_time: bool = True
    dies_per_hour: float = 0.0
    output: str = ""
    exists: bool = True
    echoes: bool = False
    reads: bool = True


@dataclass(frozen=True, slots=True)
class Program:
    """How a source behaves.

    Attributes:
        build, test, migrate: `ok`, `fail`, `hang`, `stuck` (hangs, also when its time is up), or for the build `oom`.
        web: `ok`, `never-healthy`, `crash`, `wrong` (answers, but smoke paths fail), `sours` (wrong after half a minute),
            `slow-home` (its home page takes six seconds), `missing` (there is no such program), `elsewhere` (listens on
            another port).
        worker: as `web`, for workers.
    """

    build: str = "ok"
    test: str = "ok"
    migrate: str = "ok"
    web: str = "ok"
    worker: str = "ok"
    manifest: str = ""
    env_example: str = ""

    def script(self, process_id: str, *, has_port: bool = True) -> Script:
        """What a process of this source does; `build-…`, `test-…` and `migrate-…` end, all others stay."""
        match process_id.partition("-")[0]:
            case "build":
                return _task("build", self.build)
            case "test":
                return _task("test", self.test)
            case "migrate":
                return _task("migration", self.migrate)
            case _:
                return _LASTING[self.web if has_port else self.worker]


def _task(name: str, how: str) -> Script:
    if how in ("hang", "stuck"):
        return Script(ends_in_time=how == "hang", output=f"the {name} begins\n")
    if how == "oom":
        return Script(exits_after_s=TASK_S, out_of_memory=True, output=f"the {name} grows\n")
    code = 0 if how == "ok" else 1
    return Script(exits_after_s=TASK_S, exit_code=code, output=f"the {name} ends with {code}\n")


_LASTING = {
    "ok": Script(listens_after_s=BOOT_S, stops_after_s=0.1, output="listening\n"),
    "never-healthy": Script(listens_after_s=None, stops_after_s=0.1, output="starting\n"),
    "crash": Script(exits_after_s=0.2, exit_code=1, listens_after_s=None, output="it fell\n"),
    "wrong": Script(listens_after_s=BOOT_S, stops_after_s=0.1, fails_after_s=0.0),
    "missing": Script(exists=False),
    "elsewhere": Script(
        listens_after_s=None,
        stops_after_s=0.1,
        listens_at=(Listener("127.0.0.1", 3099),),
        output="listening on 3099\n",
    ),
    "slow-home": Script(listens_after_s=BOOT_S, stops_after_s=0.1, home_s=6.0),
    "sours": Script(listens_after_s=BOOT_S, stops_after_s=0.1, fails_after_s=_SOURS_AFTER_S),
}
