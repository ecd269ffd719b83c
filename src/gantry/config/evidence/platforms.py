"""Files of other platforms: what they say becomes a line of gantry.toml, or a sentence that it is not honoured."""

import re
from collections.abc import Iterable
from typing import TypeGuard

from gantry.config.evidence.files import Files, table, texts
from gantry.config.evidence.packages import Packages
from gantry.config.evidence.proposal import Findings, Proposal
from gantry.config.fields import MAX_TEXT, label_fault, variable_fault

_PROC = re.compile(r"([A-Za-z0-9_-]+)\s*:\s*(\S.*)")
_STARTS = re.compile(r"(?:npm|yarn|pnpm|bun)(?: run)? start")
# Programs that only hand out files, which Gantry does itself with what a build writes.
_SERVES_FILES = re.compile(
    r"(?:(?:npx|exec|yarn|pnpm exec|bunx) )?"
    r"(?:serve|http-server|vite preview|npm run preview|static-web-server|sirv|bin/boot|nginx|caddy)(?:\s|$)"
)
_MAX_PROCESSES = 50
# File -> what to do instead.
_NOT_READ = {
    "Dockerfile": "building from a Dockerfile is coming; the product is built from its source",
    "Containerfile": "building from a Containerfile is coming; the product is built from its source",
    "docker-compose.yml": "name processes in [processes] and databases in [services]",
    "docker-compose.yaml": "name processes in [processes] and databases in [services]",
    "compose.yml": "name processes in [processes] and databases in [services]",
    "compose.yaml": "name processes in [processes] and databases in [services]",
    "heroku.yml": "set [build], [release] and [processes]",
    "render.yaml": "set [build] command, [processes.web] command and [services]",
    "app.yaml": "set [processes.web] command",
    "amplify.yml": "set [build] command and output",
    "firebase.json": "set [build] output and [routes]",
    "wrangler.toml": "the product runs as a process, not as a worker of Cloudflare",
    "wrangler.json": "the product runs as a process, not as a worker of Cloudflare",
    "wrangler.jsonc": "the product runs as a process, not as a worker of Cloudflare",
    "serverless.yml": "the product runs as a process, not as functions",
    "captain-definition": "set [build] and [processes]",
    "apprunner.yaml": "set [build] and [processes]",
    ".platform.app.yaml": "set [build] and [processes]",
    "_redirects": "use [routes] redirects",
    "public/_redirects": "use [routes] redirects",
    "static/_redirects": "use [routes] redirects",
    "_headers": "use [routes] headers",
    "public/_headers": "use [routes] headers",
    "static/_headers": "use [routes] headers",
}
_OTHER_LANGUAGES = ("ruby", "golang", "java", "php", "rust", "elixir", "erlang", "deno", "dotnet")


def find_declared(files: Files, packages: Packages) -> Findings:
    """What files of other platforms say; an earlier one wins."""
    notes = [f"{name}: not honoured; {why}" for name, why in _NOT_READ.items() if files.has(name)]
    reading = _Reading(files, packages, notes)
    reading.procfile()
    reading.heroku()
    reading.fly()
    reading.railway()
    reading.nixpacks()
    reading.vercel()
    reading.netlify()
    reading.tools()
    return Findings(tuple(reading.proposals), tuple(reading.notes))


class _Reading:
    """Reads one file after the other."""

    def __init__(self, files: Files, packages: Packages, notes: Iterable[str]) -> None:
        self._files = files
        self._packages = packages
        self.proposals: list[Proposal] = []
        self.notes = list(notes)

    def procfile(self) -> None:
        """Heroku's processes by name; `release` is the release command."""
        lines = self._files.text("Procfile").splitlines()
        for number, line in enumerate(lines, 1):
            match = None if line.lstrip().startswith("#") else _PROC.fullmatch(line.strip())
            if match is not None and len(self.proposals) < _MAX_PROCESSES:
                self._process(match[1], match[2], f"Procfile:{number}")

    def heroku(self) -> None:
        """app.json: add-ons become services; and the script that Heroku runs instead of `build`."""
        app = self._files.json("app.json")
        if not ({"addons", "buildpacks", "formation", "stack"} & set(app) or "scripts" in app):
            app = {}  # Expo's app.json has other keys
        self._addons(app.get("addons"))
        for name, text in texts(app.get("scripts")):
            self._note("app.json", f"scripts.{name}", f"run it yourself after the deploy: {text}")
        for name, value in table(app.get("env")).items():
            if not table(value).get("value") and table(value).get("required", True) is not False:
                self._note("app.json", f"env.{name}", f"gantry env set {name}")
        for key, instead in (("formation", "set instances in [processes.web]"),
                             ("buildpacks", "set [build] install and command"),
                             ("environments", "set [environments]")):  # fmt: skip
            if app.get(key):
                self._note("app.json", key, instead)
        if "heroku-postbuild" in self._packages.scripts:
            self._add(
                "build.command",
                "npm run heroku-postbuild",
                "package.json: scripts.heroku-postbuild",
            )

    def _addons(self, addons: object) -> None:
        for addon in addons if isinstance(addons, list) else ():
            plan = addon if isinstance(addon, str) else table(addon).get("plan")
            name = str(plan or "").partition(":")[0]
            service = {
                "heroku-postgresql": "postgres",
                "heroku-redis": "redis",
                "rediscloud": "redis",
            }.get(name)
            if service:
                self._add(f"services.{service}", value=True, where="app.json: addons")
            elif name:
                self.notes.append(
                    f"app.json: addons: {name}: not honoured; there is no such service"
                )

    def fly(self) -> None:
        """fly.toml: processes, the release command, plain variables, the path of the health check."""
        fly = self._files.toml("fly.toml")
        for name, command in texts(fly.get("processes")):
            if command:
                self._process("web" if name == "app" else name, command, "fly.toml: processes")
        self._add(
            "release.command", table(fly.get("deploy")).get("release_command"), "fly.toml: deploy"
        )
        for name, value in table(fly.get("env")).items():
            if not variable_fault(str(name)):
                self._add(f"variables.plain.{name}", str(value), "fly.toml: env")
        service = table(fly.get("http_service"))
        checks = service.get("checks")
        for check in checks if isinstance(checks, list) else ():
            self._add("processes.web.health.path", table(check).get("path"), "fly.toml: checks")
        for key, instead in (("mounts", "what a product writes to its disk goes with the release; use a service"),
                             ("vm", "set memory in [processes.web]"), ("services", "only HTTP on $PORT is served"),
                             ("statics", "the product serves its own files")):  # fmt: skip
            if fly.get(key):
                self._note("fly.toml", key, instead)

    def railway(self) -> None:
        """railway.toml or railway.json: commands, and the path of the health check."""
        name = self._files.first("railway.toml", "railway.json")
        data = self._files.toml(name) if name.endswith(".toml") else self._files.json(name or "-")
        build, deploy = table(data.get("build")), table(data.get("deploy"))
        before = deploy.get("preDeployCommand")
        self._add("build.command", build.get("buildCommand"), f"{name}: build")
        self._add(
            "release.command",
            " && ".join(before) if _is_texts(before) else before,
            f"{name}: deploy",
        )
        if start := _text(deploy.get("startCommand")):
            self._process("web", start, f"{name}: deploy")
        self._add("processes.web.health.path", deploy.get("healthcheckPath"), f"{name}: deploy")
        if deploy.get("cronSchedule"):
            self._note(name, "deploy.cronSchedule", "use [processes.cron.NAME]")

    def nixpacks(self) -> None:
        """nixpacks.toml: what installs, builds and starts."""
        data = self._files.toml("nixpacks.toml")
        phases = table(data.get("phases"))
        for phase, key in (("install", "build.install"), ("build", "build.command")):
            commands = table(phases.get(phase)).get("cmds")
            if _is_texts(commands) and "..." not in commands:
                self._add(key, " && ".join(commands), f"nixpacks.toml: phases.{phase}")
        if start := _text(table(data.get("start")).get("cmd")):
            self._process("web", start, "nixpacks.toml: start")
        if table(phases.get("setup")):
            self._note("nixpacks.toml", "phases.setup", "no further programs can be installed")

    def vercel(self) -> None:
        """vercel.json: what it says of the build. Its rules and crons are honoured where they are."""
        data = self._files.json("vercel.json")
        for key, ours in (("buildCommand", "build.command"), ("installCommand", "build.install"),
                          ("outputDirectory", "build.output")):  # fmt: skip
            if key != "outputDirectory" or not self._packages.first("next"):
                self._add(ours, data.get(key), f"vercel.json: {key}")

    def netlify(self) -> None:
        """netlify.toml: what it says of the build."""
        data = self._files.toml("netlify.toml")
        build = table(data.get("build"))
        self._add("build.command", build.get("command"), "netlify.toml: build")
        if not self._packages.first("next"):
            self._add("build.output", build.get("publish"), "netlify.toml: build")
        for key, instead in (("redirects", "use [routes] redirects"), ("headers", "use [routes] headers"),
                             ("functions", "the product answers every path itself"),
                             ("edge_functions", "the product answers every path itself"),
                             ("plugins", "install what the build needs in package.json"),
                             ("context", "set [environments]")):  # fmt: skip
            if data.get(key):
                self._note("netlify.toml", key, instead)
        for key, instead in (("base", "set root in [project]"), ("environment", "set [variables] plain"),
                             ("functions", "the product answers every path itself")):  # fmt: skip
            if build.get(key):
                self._note("netlify.toml", f"build.{key}", instead)

    def tools(self) -> None:
        """.tool-versions and its kin may ask for languages that are not run."""
        for line in self._files.text(".tool-versions").splitlines():
            name, _, version = line.strip().partition(" ")
            if name in _OTHER_LANGUAGES:
                self._note(
                    ".tool-versions", f"{name} {version}".strip(), "Gantry runs Node and Python"
                )

    def _process(self, name: str, command: str, where: str) -> None:
        label = name.lower().replace("_", "-")
        if label == "release":
            self._add("release.command", command, where)
        elif label == "web" and _SERVES_FILES.match(command.strip()):
            self._note(where, name, "files that a build writes are served by Gantry itself")
        elif label == "web":
            starts = _STARTS.fullmatch(command.strip()) and "start" in self._packages.scripts
            if not starts and not (self._packages.first("next") and "next start" in command):
                self._add("processes.web.command", command, where)
        elif label_fault(label) or "--" in label:
            self._note(where, name, "a process needs a name of letters, digits and single hyphens")
        else:
            self._add(f"processes.worker.{label}.command", command, where)

    def _add(self, key: str, value: object, where: str) -> None:
        if value is None or value == "":
            return
        if isinstance(value, str) and (len(value) > MAX_TEXT or "\0" in value or not value.strip()):
            self.notes.append(f"{where}: not honoured; it cannot be the value of {key}")
        elif isinstance(value, str | bool):
            plain = (
                value.strip().removeprefix("./")
                if key == "build.output" and isinstance(value, str)
                else value
            )
            self.proposals.append(Proposal(key, plain, f"{where} says so", declared=True))

    def _note(self, file: str, key: str, instead: str) -> None:
        self.notes.append(f"{file}: {key}: not honoured; {instead}")


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _is_texts(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value)
