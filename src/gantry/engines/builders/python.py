"""Python web applications: ASGI and WSGI, with their packages in a virtual environment at /app/.venv."""

import ast
import hashlib
import json
import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass

from gantry.config.evidence.files import table
from gantry.engines.builders.context import Context
from gantry.engines.builders.node import no_start
from gantry.engines.builders.plan import APP, BuildPlan, Cache, Collect, Packages, Phase
from gantry.engines.builders.protocol import Detection
from gantry.engines.builders.tree import Tree
from gantry.engines.builders.versions import read_toml
from gantry.kernel.commands import argv_of

FRAMEWORK = "python"
_STEMS = ("main", "app", "asgi", "wsgi", "server", "application", "api", "web", "run", "__init__")
_FIRST_FOLDERS = ("", "app", "src")
_MAX_FOLDERS = 40
_ASGI = ("FastAPI", "Starlette", "Litestar", "Quart", "Sanic", "Robyn", "BlackSheep")
_WSGI = ("Flask", "Bottle", "Falcon", "APIFlask")
_HOLDERS = ("Dash",)  # what serves is their attribute `server`
_FACTORIES = ("create_app", "make_app", "get_app", "app_factory", "create_application", "build_app")
_ASGI_SERVERS = ("uvicorn", "granian", "hypercorn", "daphne")
_START = {
    "uvicorn": '{target} --host "$HOST" --port "$PORT" --no-access-log --timeout-graceful-shutdown 25'
    " --timeout-keep-alive 75",
    "granian": '--interface asgi --host "$HOST" --port "$PORT" {target}',
    "hypercorn": '--bind "$HOST:$PORT" --keep-alive 75 {target}',
    "daphne": '-b "$HOST" -p "$PORT" {target}',
    "gunicorn": '--bind "$HOST:$PORT" --keep-alive 75 --workers 1 --threads 8 {target}',
}
_DECLARING = (
    "uv.lock",
    "poetry.lock",
    "pdm.lock",
    "Pipfile.lock",
    "requirements.txt",
    "pyproject.toml",
    "Pipfile",
    "setup.py",
)
# Build backends that pack the module of the project's name, and refuse a project without it, unless their own table says
# what else to pack.
_NAMED = {"poetry": "poetry", "hatchling": "hatch", "uv_build": "uv", "flit_core": "flit"}
_SAYS_WHAT = frozenset({"packages", "build", "build-backend", "module"})
_STATIC_ROOT = re.compile(r"^\s*STATIC_ROOT\s*=\s*(?!None)\S", re.MULTILINE)

# With uv in a fraction of a second; with the pip of the machine's Python in one; the last resort copies a pip first.
_MAKE = f"""python={APP}/.venv/bin/python
if command -v uv >/dev/null; then
  uv venv --quiet --python "$GANTRY_PYTHON" {APP}/.venv
  add() {{ uv pip install --quiet --python "$python" "$@"; }}
elif "$GANTRY_PYTHON" -m pip --version >/dev/null 2>&1; then
  "$GANTRY_PYTHON" -m venv --without-pip {APP}/.venv
  add() {{ "$GANTRY_PYTHON" -m pip --python "$python" install --quiet "$@"; }}
else
  "$GANTRY_PYTHON" -m venv {APP}/.venv
  add() {{ "$python" -m pip install --quiet "$@"; }}
fi"""
# A lock of another tool is written out by that tool, from a virtual environment of its own, as what pip can install.
_TOOL = """"$GANTRY_PYTHON" -m venv /tmp/tool
/tmp/tool/bin/python -m pip install --quiet {packages}"""


@dataclass(frozen=True, slots=True)
class Found:
    """The application object in a tree.

    Attributes:
        interface: `asgi` or `wsgi`.
        name: of the object, or with `()` of the function that makes it.
    """

    interface: str
    module: str
    name: str
    file: str

    def target(self, server: str) -> str:
        """What a server calls it: `app.main:app`; a factory is called by gunicorn, and by others with a flag."""
        if not self.name.endswith("()"):
            return f"{self.module}:{self.name}"
        if server == "gunicorn":
            return f"'{self.module}:{self.name}'"
        return f"--factory {self.module}:{self.name.removesuffix('()')}"


def declared(tree: Tree) -> str:
    """The file that declares the product's packages; empty when there is none."""
    return tree.first(*_DECLARING)


def detect(tree: Tree) -> Detection | None:
    """Python, when an application object is found, or packages are declared with no other product beside."""
    packages = declared(tree)
    found = find_app(tree)
    if found is None and (not packages or tree.has("package.json")):
        return None
    reasons = [f"{packages} is there"] if packages else []
    if found is None:
        note = "no ASGI or WSGI application was found: set [processes.web] command in gantry.toml"
        return Detection(FRAMEWORK, tuple(reasons), (note,))
    kind = "makes" if found.name.endswith("()") else "has"
    reasons.append(f"{found.file} {kind} the {found.interface.upper()} application {found.name}")
    return Detection(FRAMEWORK, tuple(reasons))


def plan(context: Context, detection: Detection) -> BuildPlan:
    """Make the environment, install, run the build command if there is one, keep the folder."""
    request, product = context.request, context.product
    server, web = _web(context)
    install = request.install or _install(product, server)
    build = request.command or _collectstatic(product)
    environment = _environment(context)
    phase = Phase("install", "python packages", install, environment)
    return BuildPlan(
        framework=FRAMEWORK,
        reasons=detection.reasons,
        notes=detection.notes,
        phases=(phase, *((Phase("build", build, build, environment),) if build else ())),
        packages=_packages(context, phase),
        caches=(Cache("pip", "/cache/pip", shared=True), Cache("uv", "/cache/uv", shared=True)),
        collect=Collect("tree"),
        web=web,
        folder=context.root,
        versions=context.versions,
        env={
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "VIRTUAL_ENV": f"{APP}/.venv",
            "GANTRY_BUILD": context.build_id,
            **_path(context),
        },
        engine="python",
    )


def find_app(tree: Tree) -> Found | None:
    """The application object in one of the usual files, or in Django's project folder, or what makes one."""
    if named := _named(tree):
        return named
    found = list(_found(tree))
    objects = [item for item in found if not item.name.endswith("()")]
    if tree.has("manage.py") and not any(_declares(tree, name) for name in _ASGI_SERVERS):
        # Django writes both files; without a server for the one it is meant to be run by the other.
        objects.sort(key=lambda item: item.interface != "wsgi")
    return next(iter((*objects, *found)), None)


def _named(tree: Tree) -> Found | None:
    """The application that pyproject.toml names for FastAPI's own command."""
    tool = read_toml(tree, "pyproject.toml").get("tool")
    fastapi = tool.get("fastapi") if isinstance(tool, dict) else None
    entry = fastapi.get("entrypoint") if isinstance(fastapi, dict) else None
    if not isinstance(entry, str) or not re.fullmatch(r"[\w.]+:\w+", entry):
        return None
    module, _, name = entry.partition(":")
    return Found("asgi", module, name, "pyproject.toml")


def _found(tree: Tree) -> Iterator[Found]:
    made = (
        "asgi"
        if any(_declares(tree, name) for name in ("fastapi", "starlette", "litestar", "quart"))
        else "wsgi"
    )
    for path in _modules(tree):
        text = tree.text(path)
        if not text:
            continue
        module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        if path.startswith("src/") and "/" in path[4:] and not tree.has("src/__init__.py"):
            module = module.removeprefix("src.")  # a package below src is found by its own name
        for interface, name in _applications(text):
            yield Found(interface or made, module, name, path)


def _modules(tree: Tree) -> Iterator[str]:
    """Files that may have the application, the likeliest first."""
    folders = dict.fromkeys(_FIRST_FOLDERS)
    if declared(tree) or tree.has("manage.py"):  # else a folder is a product of its own
        below = [name for name in tree.folders() if not name.startswith(".")]
        folders |= dict.fromkeys(below[:_MAX_FOLDERS])
        folders |= dict.fromkeys(f"src/{name}" for name in tree.folders("src")[:_MAX_FOLDERS])
    skipped = ("tests", "test", "node_modules", "docs", "venv")
    for folder in folders:
        if folder.rpartition("/")[2] not in skipped:
            yield from (f"{folder}/{stem}.py" if folder else f"{stem}.py" for stem in _STEMS)


def _applications(text: str) -> Iterator[tuple[str, str]]:
    """Interface and name of every application that a module has or makes at its top level; the interface of one that
    comes from elsewhere is empty.
    """
    try:
        module = ast.parse(text)
    except (
        SyntaxError,
        ValueError,
        RecursionError,
    ):  # of another Python; its own interpreter says what is wrong
        return
    holders: set[str] = set()
    for statement in module.body:
        if isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            interface = _interface(statement.value)
            if isinstance(targets[0], ast.Name) and (interface or _calls_factory(statement.value)):
                yield interface, targets[0].id
            elif isinstance(targets[0], ast.Name) and _called(statement.value) in _HOLDERS:
                holders.add(targets[0].id)
            elif isinstance(targets[0], ast.Name) and _is_server_of(statement.value, holders):
                yield "wsgi", targets[0].id
        elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _function(statement)


def _function(statement: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[tuple[str, str]]:
    names = [argument.arg for argument in statement.args.args]
    if isinstance(statement, ast.AsyncFunctionDef):
        if names[:3] == ["scope", "receive", "send"]:
            yield "asgi", statement.name
    elif names[:2] == ["environ", "start_response"]:
        yield "wsgi", statement.name
    elif statement.name in _FACTORIES and len(names) == len(statement.args.defaults):
        made = [_interface(node) for node in ast.walk(statement) if isinstance(node, ast.Call)]
        if interface := next(filter(None, made), ""):
            yield interface, f"{statement.name}()"


def _calls_factory(value: ast.expr | None) -> bool:
    return (
        isinstance(value, ast.Call)
        and isinstance(value.func, ast.Name)
        and value.func.id in _FACTORIES
    )


def _is_server_of(value: ast.expr | None, holders: set[str]) -> bool:
    return (
        isinstance(value, ast.Attribute)
        and value.attr == "server"
        and isinstance(value.value, ast.Name)
        and value.value.id in holders
    )


def _interface(value: ast.expr | None) -> str:
    """What a call makes: `asgi`, `wsgi` or nothing that is known."""
    name = _called(value)
    if name in _ASGI or name == "get_asgi_application":
        return "asgi"
    return "wsgi" if name in _WSGI or name == "get_wsgi_application" else ""


def _called(value: ast.expr | None) -> str:
    """The name of what a call calls; empty when it is none."""
    called = value.func if isinstance(value, ast.Call) else None
    if isinstance(called, ast.Attribute):
        return called.attr
    return called.id if isinstance(called, ast.Name) else ""


def _environment(context: Context) -> dict[str, str]:
    return {
        "PIP_CACHE_DIR": "/cache/pip",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "UV_CACHE_DIR": "/cache/uv",
        "UV_LINK_MODE": "copy",
        "UV_COMPILE_BYTECODE": "1",
        "UV_PROJECT_ENVIRONMENT": f"{APP}/.venv",
        "UV_PYTHON_DOWNLOADS": "never",
        "VIRTUAL_ENV": f"{APP}/.venv",
        "GANTRY_BUILD": context.build_id,
    }


def _path(context: Context) -> dict[str, str]:
    """Packages in a folder `src` are found also where they are not installed."""
    has = any(
        context.product.has(f"src/{name}/__init__.py") for name in context.product.folders("src")
    )
    return {"PYTHONPATH": f"{APP}/{context.below('src')}"} if has else {}


def _install(tree: Tree, server: str) -> str:
    """The shell script that fills `.venv`; `server` is added when the product does not bring one itself."""
    return "\n".join(["set -e", _MAKE, *_wanted(tree), *([f"add {server}"] if server else [])])


def _wanted(tree: Tree) -> list[str]:
    """Installs what the product declares, exactly as its lock says where it has one."""
    if tree.has("uv.lock"):
        return [
            "if ! command -v uv >/dev/null; then",
            _TOOL.format(packages="uv"),
            "PATH=/tmp/tool/bin:$PATH",
            "fi",
            'uv sync --frozen --no-dev --quiet --python "$GANTRY_PYTHON"',
        ]
    if tree.has("poetry.lock"):
        export = "poetry export --without-hashes --only main --output /tmp/locked.txt"
        return [
            _TOOL.format(packages="poetry poetry-plugin-export"),
            f"/tmp/tool/bin/{export}",
            *_locked(tree),
        ]
    if tree.has("pdm.lock"):
        export = "pdm export --without-hashes --production --format requirements --output /tmp/locked.txt"
        return [_TOOL.format(packages="pdm"), f"/tmp/tool/bin/{export}", *_locked(tree)]
    if tree.has("Pipfile.lock"):
        return [*_of_pipfile(tree)]
    if tree.has("requirements.txt"):
        return ["add -r requirements.txt"]
    if tree.has("pyproject.toml"):
        return ["add ." if _is_package(tree) else _of_project(tree)]
    if tree.has("Pipfile"):
        names = table(read_toml(tree, "Pipfile").get("packages"))
        return (
            [f"add {' '.join(_requirement(name, value) for name, value in names.items())}"]
            if names
            else []
        )
    return ["add ."] if tree.has("setup.py") else []


def _locked(tree: Tree) -> list[str]:
    own = ["add --no-deps ."] if _is_package(tree) else []
    return ["add -r /tmp/locked.txt", *own]


def _is_package(tree: Tree) -> bool:
    """Whether pyproject.toml describes something that can be installed, not packages alone.

    `poetry init` and others write a build system for an application, too, which has nothing that could be built.
    """
    document = read_toml(tree, "pyproject.toml")
    system, tool, project = (
        table(document.get(name)) for name in ("build-system", "tool", "project")
    )
    poetry = table(tool.get("poetry"))
    if not system or poetry.get("package-mode") is False:
        return False
    backend = str(system.get("build-backend") or "").partition(".")[0]
    if backend not in _NAMED or (table(tool.get(_NAMED[backend])).keys() & _SAYS_WHAT):
        return True
    name = str(project.get("name") or poetry.get("name") or "")
    module = re.sub(r"[-_.]+", "_", name).lower()
    return bool(
        tree.first(
            *(f"{folder}{place}" for folder in ("", "src/") for place in (module, f"{module}.py"))
        )
    )


def _of_project(tree: Tree) -> str:
    """Installs the dependencies of a pyproject.toml that is no package of its own."""
    document = read_toml(tree, "pyproject.toml")
    found = table(document.get("project")).get("dependencies")
    names = [name for name in found if isinstance(name, str)] if isinstance(found, list) else []
    poetry = table(table(document.get("tool")).get("poetry")).get("dependencies")
    if not names:
        named = (
            _of_poetry(name, value) for name, value in table(poetry).items() if name != "python"
        )
        names = list(filter(None, named))
    return f"add {' '.join(_quoted(name) for name in names)}" if names else ":"


def _of_poetry(name: str, value: object) -> str:
    """One of Poetry's own dependencies as pip knows it; empty for one that is optional."""
    entry = value if isinstance(value, dict) else {"version": value}
    if entry.get("optional") is True:
        return ""
    if "git" in entry or "version" not in entry:
        place = entry.get("url") or entry.get("path") or ""
        return (
            f"{name}{_version(entry)}" if "git" in entry else f"{name} @ {place}" if place else name
        )
    # An alternative of versions cannot be said to pip: the newest one is installed.
    text = "*" if "|" in str(entry["version"]) else str(entry["version"])
    wanted = ",".join(filter(None, (_specifier(part.strip()) for part in text.split(","))))
    return f"{name}{_version(entry | {'version': wanted})}{_marker(entry)}"


def _specifier(text: str) -> str:
    """Poetry's `^1.2`, `~1.2`, `1.*` and `1.2` as Python's packaging says them."""
    match = re.fullmatch(r"([\^~]|~=|)\s*(\d+(?:\.\d+)*)(\.\*)?", text)
    if match is None or match[1] == "~=":
        return "" if text == "*" else text
    sign, numbers = match[1], [int(number) for number in match[2].split(".")]
    if not sign:
        return f"=={match[2]}{match[3] or ''}"
    raised = next((index for index, number in enumerate(numbers) if number), len(numbers) - 1)
    if sign == "~":
        raised = min(1, len(numbers) - 1)
    upper = [*numbers[:raised], numbers[raised] + 1]
    return f">={match[2]},<{'.'.join(map(str, upper))}"


def _of_pipfile(tree: Tree) -> Iterator[str]:
    locked = tree.json("Pipfile.lock").get("default")
    lines = [
        f"{name}{_version(entry)}{_marker(entry)}"
        for name, entry in (locked if isinstance(locked, dict) else {}).items()
        if isinstance(entry, dict)
    ]
    yield "cat > /tmp/locked.txt <<'GANTRY_LOCKED'"
    yield from lines
    yield "GANTRY_LOCKED"
    yield "add -r /tmp/locked.txt"


def _version(entry: dict[str, object]) -> str:
    extras = entry.get("extras")
    named = f"[{','.join(map(str, extras))}]" if isinstance(extras, list) else ""
    if isinstance(address := entry.get("git"), str):
        at = next((entry[key] for key in ("ref", "rev", "tag", "branch") if key in entry), "HEAD")
        return f"{named} @ git+{address}@{at}"
    return f"{named}{entry.get('version', '')}"


def _marker(entry: dict[str, object]) -> str:
    return f" ; {entry['markers']}" if entry.get("markers") else ""


def _requirement(name: str, value: object) -> str:
    version = value.get("version", "*") if isinstance(value, dict) else value
    return _quoted(name if version == "*" else f"{name}{version}")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _packages(context: Context, install: Phase) -> Packages | None:
    """The virtual environment is kept by everything that it depends on, unless it has the product itself in it."""
    product, request = context.product, context.request
    files = [name for name in _DECLARING if product.has(name)]
    if _has_own_code(product) or request.install:
        return None
    texts = {name: product.text(name) for name in (*files, *_more_requirements(product))}
    machine = f"{platform.system()}-{platform.machine()}-{'-'.join(platform.libc_ver())}"
    facts = [install.command, context.versions.python, context.versions.python_home, machine, texts]
    return Packages(
        hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest(), folder=".venv"
    )


def _has_own_code(tree: Tree) -> bool:
    """Whether what is installed depends on more than the declaring files: the product, or folders beside it."""
    if re.search(r"\bpath\s*=", tree.text("pyproject.toml") or ""):
        return True
    if tree.has("uv.lock"):  # it installs the product as a reference to its folder
        return False
    if tree.has("setup.py") or _is_package(tree):
        return True
    texts = [tree.text(name) or "" for name in ("requirements.txt", *_more_requirements(tree))]
    local = re.compile(
        r"^\s*(-e\b|--editable|\.{1,2}(/|\s*$)|/|file:|[\w.-]+\s*@\s*file:)", re.MULTILINE
    )
    return any(local.search(text) for text in texts)


def _more_requirements(tree: Tree) -> tuple[str, ...]:
    found = [name for name in tree.names() if name.endswith(".txt") and name != "requirements.txt"]
    return (*found, *(f"requirements/{name}" for name in tree.names("requirements")))


def _collectstatic(tree: Tree) -> str:
    """Django's own command, where its settings say where files are to be collected."""
    if not tree.has("manage.py"):
        return ""
    settings = [f"{folder}/settings.py" for folder in tree.folders()]
    settings += [
        f"{folder}/settings/{name}"
        for folder in tree.folders()
        for name in tree.names(f"{folder}/settings")
    ]
    if any(_STATIC_ROOT.search(tree.text(path) or "") for path in settings):
        return "python manage.py collectstatic --noinput"
    return ""


def _web(context: Context) -> tuple[str, tuple[str, ...]]:
    """The server that must be installed besides, and what starts the product."""
    request = context.request
    if request.start:
        return "", argv_of(request.start)
    if not request.serves:
        return "", ()
    found = find_app(context.product)
    if found is None:
        raise no_start(
            "no ASGI or WSGI application was found in files such as main.py, app.py or wsgi.py"
        )
    wanted = _ASGI_SERVERS if found.interface == "asgi" else ("gunicorn",)
    server = next((name for name in wanted if _declares(context.product, name)), "")
    program = server or wanted[0]
    arguments = _START[program].format(target=found.target(program))
    return "" if server else program, argv_of(f"{program} {arguments}")


def _declares(tree: Tree, name: str) -> bool:
    pattern = re.compile(rf"(^|[\s\"'\[,]){name}(?![\w-])", re.MULTILINE | re.IGNORECASE)
    texts = (
        tree.text(file)
        for file in ("requirements.txt", "pyproject.toml", "Pipfile", "uv.lock", "poetry.lock")
    )
    return any(text and pattern.search(text) for text in texts)
