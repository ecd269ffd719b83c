"""Python web applications: ASGI and WSGI, with their packages in a virtual environment at /app/.venv."""

import re
from dataclasses import dataclass

from gantry.engines.builders.context import Context
from gantry.engines.builders.plan import APP, BuildPlan, Cache, Collect, Phase
from gantry.engines.builders.protocol import Detection
from gantry.engines.builders.tree import Tree

FRAMEWORK = "python"
_MODULES = (
    "main",
    "app",
    "asgi",
    "wsgi",
    "server",
    "application",
    "app/main",
    "app/__init__",
    "src/main",
    "src/app",
)
_APPS = (
    ("asgi", re.compile(r"^(\w+)\s*(?::[^=\n]+)?=\s*(?:FastAPI|Starlette|Litestar|Quart|Sanic|Robyn)\(", re.MULTILINE)),
    ("wsgi", re.compile(r"^(\w+)\s*(?::[^=\n]+)?=\s*(?:flask\.)?(?:Flask|Bottle|Falcon)\(", re.MULTILINE)),
    ("asgi", re.compile(r"^(\w+)\s*=\s*get_asgi_application\(", re.MULTILINE)),
    ("wsgi", re.compile(r"^(\w+)\s*=\s*get_wsgi_application\(", re.MULTILINE)),
    ("asgi", re.compile(r"^async def (\w+)\(scope\b[^,]*,\s*receive\b[^,]*,\s*send\b", re.MULTILINE)),
    ("wsgi", re.compile(r"^def (\w+)\(environ\b[^,]*,\s*start_response\b", re.MULTILINE)),
)  # fmt: skip
_ASGI_SERVERS = ("uvicorn", "granian", "hypercorn", "daphne")
_START = {
    "uvicorn": '{module}:{name} --host "$HOST" --port "$PORT" --no-access-log --timeout-graceful-shutdown 25'
    " --timeout-keep-alive 75",
    "granian": '--interface asgi --host "$HOST" --port "$PORT" {module}:{name}',
    "hypercorn": '--bind "$HOST:$PORT" --keep-alive 75 {module}:{name}',
    "daphne": '-b "$HOST" -p "$PORT" {module}:{name}',
    "gunicorn": '--bind "$HOST:$PORT" --keep-alive 75 --workers 1 --threads 8 {module}:{name}',
}

_NEEDS_UV = """command -v uv >/dev/null || {
  echo 'uv.lock is there, but this machine has no uv: pip install uv beside gantry, or export a requirements.txt'
  exit 65
}"""
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


@dataclass(frozen=True, slots=True)
class Found:
    """The application object in a tree."""

    interface: str
    module: str
    name: str
    file: str


def detect(tree: Tree) -> Detection | None:
    """Python, when an application object is found, or packages are declared with no other product beside."""
    declared = tree.first("uv.lock", "requirements.txt", "pyproject.toml")
    found = find_app(tree)
    if found is None and (not declared or tree.has("package.json")):
        return None
    reasons = [f"{declared} is there"] if declared else []
    if found is None:
        note = "no ASGI or WSGI application was found: set [processes.web] command in gantry.toml"
        return Detection(FRAMEWORK, tuple(reasons), (note,))
    reasons.append(f"{found.file} has the {found.interface.upper()} application {found.name}")
    return Detection(FRAMEWORK, tuple(reasons))


def plan(context: Context, detection: Detection) -> BuildPlan:
    """Make the environment, install, run the build command if there is one, keep the folder."""
    request, product = context.request, context.product
    server, web = _web(context)
    install = request.install or _install(product, server)
    build = request.command
    return BuildPlan(
        framework=FRAMEWORK,
        reasons=detection.reasons,
        notes=detection.notes,
        phases=(
            Phase("install", "python packages", install, _environment(context)),
            *((Phase("build", build, build, _environment(context)),) if build else ()),
        ),
        caches=(Cache("pip", "/cache/pip", shared=True), Cache("uv", "/cache/uv", shared=True)),
        collect=Collect("tree"),
        web=web,
        env={
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "VIRTUAL_ENV": f"{APP}/.venv",
            "GANTRY_BUILD": context.build_id,
        },
        engine="python",
    )


def find_app(tree: Tree) -> Found | None:
    """The application object in one of the usual files, or in Django's project folder."""
    modules = list(_MODULES)
    if tree.has("manage.py"):
        modules += [f"{name}/{kind}" for kind in ("asgi", "wsgi") for name in tree.names()]
    for module in modules:
        text = tree.text(f"{module}.py")
        for interface, pattern in _APPS if text else ():
            if match := pattern.search(text or ""):
                dotted = module.removesuffix("/__init__").replace("/", ".")
                return Found(interface, dotted, match[1], f"{module}.py")
    return None


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


def _install(tree: Tree, server: str) -> str:
    """The shell script that fills `.venv`; `server` is added when the product does not bring one itself."""
    if tree.has("uv.lock"):
        wanted = ["uv sync --frozen --no-dev --quiet"]
    elif tree.has("requirements.txt"):
        wanted = ["add -r requirements.txt"]
    elif tree.has("pyproject.toml"):
        wanted = ["add ."]
    else:
        wanted = []
    needs_uv = [_NEEDS_UV] if tree.has("uv.lock") else []
    return "\n".join(["set -e", *needs_uv, _MAKE, *wanted, *([f"add {server}"] if server else [])])


def _web(context: Context) -> tuple[str, tuple[str, ...]]:
    """The server that must be installed besides, and what starts the product."""
    if context.request.start:
        return "", _shell(context, f"exec {context.request.start}")
    found = find_app(context.product)
    if found is None:
        return "", ()
    wanted = _ASGI_SERVERS if found.interface == "asgi" else ("gunicorn",)
    server = next((name for name in wanted if _declares(context.product, name)), "")
    program = server or wanted[0]
    arguments = _START[program].format(module=found.module, name=found.name)
    return "" if server else program, _shell(context, f"exec {APP}/.venv/bin/{program} {arguments}")


def _shell(context: Context, command: str) -> tuple[str, ...]:
    place = f"{APP}/{context.root}" if context.root else APP
    return ("/bin/sh", "-c", f'PATH="{APP}/.venv/bin:$PATH"; cd {place}; {command}')


def _declares(tree: Tree, name: str) -> bool:
    pattern = re.compile(rf"(^|[\s\"']){name}(?![\w-])", re.MULTILINE | re.IGNORECASE)
    texts = (tree.text(file) for file in ("requirements.txt", "pyproject.toml"))
    return any(text and pattern.search(text) for text in texts)
