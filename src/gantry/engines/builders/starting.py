"""How a Node product is started in production: by its own script, unless that is for development; else by what its build
has made.
"""

import re
from collections.abc import Iterator, Mapping

from gantry.engines.builders.plan import Start
from gantry.engines.builders.tree import Package, Tree
from gantry.engines.builders.workspaces import patterns
from gantry.kernel.errors import UserError

_JOINED = re.compile(r"\s*(?:&&|\|\||;|\||\n|&)\s*")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
SOURCE = re.compile(r"[\w./@-]+\.(?:js|mjs|cjs|ts|mts|cts)")
_RUNNERS = ("npm", "pnpm", "yarn", "bun")
_WRAPPERS = ("npx", "bunx", "pnpx", "cross-env", "dotenv", "env-cmd", "exec", "time", "env", "tini")
# Flags of runners and wrappers that are followed by a value of their own.
_VALUED = ("-f", "-e", "--package", "-p", "--prefix", "-C")
# Programs that serve one's own machine whatever follows, and those that do so with a certain word only.
_ALWAYS = frozenset(
    (
        "nodemon",
        "ts-node-dev",
        "tsnd",
        "webpack-dev-server",
        "live-server",
        "browser-sync",
        "storybook",
    )
)
_WITH_WORD: Mapping[str, frozenset[str]] = {
    "nest": frozenset(("start",)),
    "ng": frozenset(("serve",)),
    "react-scripts": frozenset(("start",)),
    "webpack": frozenset(("serve",)),
    "docusaurus": frozenset(("start", "serve")),
    "gatsby": frozenset(("develop", "serve")),
    "vitepress": frozenset(("dev", "preview", "serve")),
    "expo": frozenset(("start",)),
    "vue-cli-service": frozenset(("serve",)),
    "tsx": frozenset(("watch",)),
    "node": frozenset(("--watch",)),
    "bun": frozenset(("--watch", "--hot")),
    "remix": frozenset(("dev", "vite:dev")),
    "wrangler": frozenset(("dev",)),
}
_WITHOUT_WORD: Mapping[str, frozenset[str]] = {
    "vite": frozenset(("build", "preview")),
    "parcel": frozenset(("build",)),
    "astro": frozenset(("build", "preview")),
    "eleventy": frozenset(("--output",)),
}
_DEV_WORDS = frozenset(("dev", "develop", "serve:dev"))
# What shows the files that a build has written: a site of files needs no such program here.
_PREVIEWS = frozenset(("serve", "http-server", "sirv", "preview"))
_PRODUCTION_SCRIPTS = (
    "start:prod",
    "start:production",
    "serve:prod",
    "production",
    "prod",
    "serve",
)
# Files that builds leave to be started, from special to general. What a program of the product starts names its package.
_BUILT: tuple[tuple[str, tuple[str, ...], str], ...] = (
    (".output/server/index.mjs", (), "node {}"),  # Nitro: Nuxt, SolidStart, TanStack Start
    ("dist/analog/server/index.mjs", (), "node {}"),
    ("build/server/index.js", ("@react-router/serve",), "react-router-serve ./{}"),
    ("build/server/index.js", ("@remix-run/serve",), "remix-serve ./{}"),
    ("build/index.js", ("@remix-run/serve",), "remix-serve ./{}"),
    ("build/handler.js", ("@sveltejs/adapter-node", "@sveltejs/adapter-auto"), "node build"),
    ("dist/server/entry.mjs", ("@astrojs/node",), "node ./{}"),
    ("dist/*/server/server.mjs", ("@angular/ssr",), "node {}"),
    ("dist/main.js", ("@nestjs/core",), "node dist/main"),
    ("dist/src/main.js", ("@nestjs/core",), "node dist/src/main"),
)
_STEMS = ("server", "index", "main", "app")
_FOLDERS = ("dist", "build", "out", "lib", "dist/src", "build/src")
_OWN = ("server.js", "server.mjs", "index.js", "index.mjs", "app.js", "app.mjs", "main.js", "main.mjs", "src/server.js",
        "src/index.js", "src/index.mjs", "src/app.js", "src/main.js", "server.ts", "index.ts", "app.ts", "src/server.ts",
        "src/index.ts", "src/main.ts", "src/app.ts")  # fmt: skip
_ORCHESTRATORS = frozenset(("turbo", "nx", "lerna", "concurrently", "wireit", "moon"))
# Builds that other platforms run, and the package to build with here. Prefix of the package -> the one that serves here.
_ADAPTERS: Mapping[str, tuple[str, str, str, tuple[str, ...]]] = {
    "@sveltejs/kit": ("SvelteKit", "@sveltejs/adapter-", "@sveltejs/adapter-node",
                      ("vercel", "netlify", "cloudflare", "cloudflare-workers")),
    "astro": ("Astro", "@astrojs/", "@astrojs/node", ("vercel", "netlify", "cloudflare")),
}  # fmt: skip
_CONFIGS = ("svelte.config.js", "svelte.config.ts", "vite.config.ts", "vite.config.js", "astro.config.mjs",
            "astro.config.ts", "astro.config.js", "astro.config.mts")  # fmt: skip


def script_for_production(package: Package) -> str:
    """The name of the script that starts the product in production; empty when there is none."""
    names = ("start", *_PRODUCTION_SCRIPTS)
    return next(
        (name for name in names if name in package.scripts and not is_development(package.scripts[name], package)),
        "",
    )  # fmt: skip


def is_development(command: str, package: Package) -> bool:
    """Whether a command serves a developer's machine: it watches files, compiles first, or only shows a build's files."""
    return any(
        _is_development(words) for part in commands_of(command, package) if (words := part.split())
    )


def _is_development(words: list[str]) -> bool:
    program, rest = words[0].rpartition("/")[2], words[1:]
    if program in _ALWAYS or program in _PREVIEWS:
        return True
    given = frozenset(rest)
    if given & _WITH_WORD.get(program, frozenset()):
        return True
    if program in _WITHOUT_WORD:
        return not given & (_WITHOUT_WORD[program] - {"preview"})
    return bool(rest) and rest[0] in _DEV_WORDS and program not in ("node", *_RUNNERS)


def is_orchestrated(package: Package, tree: Tree) -> bool:
    """Whether this is the top of a workspace whose start script only starts its members."""
    programs = programs_of(package.scripts.get("start", ""), package)
    return bool(patterns(tree)) and bool(programs & _ORCHESTRATORS)


def programs_of(command: str, package: Package) -> frozenset[str]:
    """Names of the programs that a command runs, those of the scripts that it names included."""
    parts = (part.split() for part in commands_of(command, package))
    return frozenset(words[0].rpartition("/")[2] for words in parts if words)


def commands_of(command: str, package: Package, depth: int = 5) -> Iterator[str]:
    """The single commands of a command, without variables and wrappers; scripts that they run are followed."""
    for part in _JOINED.split(command):
        words = _unwrapped(part.split())
        if not words:
            continue
        script = _script_of(words, package)
        if script and depth:
            for name in (f"pre{script}", script, f"post{script}"):
                if name in package.scripts:
                    yield from commands_of(package.scripts[name], package, depth - 1)
        else:
            yield " ".join(words)


def _unwrapped(words: list[str]) -> list[str]:
    while words:
        if _ASSIGNMENT.match(words[0]):
            words = words[1:]
        elif words[0] in _WRAPPERS or words[:2] in (
            ["pnpm", "exec"],
            ["npm", "exec"],
            ["pnpm", "dlx"],
            ["yarn", "exec"],
        ):
            words = _without_flags(words[2 if words[0] in _RUNNERS else 1 :])
        else:
            return words
    return words


def _without_flags(words: list[str]) -> list[str]:
    while words and words[0].startswith("-"):
        words = words[2 if words[0] in _VALUED else 1 :]
    return words


def _script_of(words: list[str], package: Package) -> str:
    """The script of package.json that a package manager runs; empty when it is something else."""
    if words[0] not in _RUNNERS:
        return ""
    rest = _without_flags(words[1:])
    if rest[:1] in (["run"], ["run-script"]):
        rest = _without_flags(rest[1:])
    return rest[0] if rest and rest[0] in package.scripts else ""


def ways_to_start(package: Package, tree: Tree) -> tuple[Start, ...]:
    """Ways to start the product once it is built; the first one whose file is there counts."""
    found = []
    script = script_for_production(package)
    written = package.scripts.get("start", "")
    if script == "start":
        found.append(Start("", written))
    else:
        found += _built(package)
        if script:
            found.append(Start("", package.scripts[script]))
        found += _of_development(written or package.scripts.get("dev", ""), package)
    if not script:
        found += [Start(name, "node {}") for name in _mains(package, tree)]
        found += [Start(f"{folder}/{stem}.{suffix}", "node {}") for folder in _FOLDERS for stem in _STEMS
                  for suffix in ("js", "mjs", "cjs")]  # fmt: skip
        found += [Start(name, "node {}") for name in _OWN]
        if written:
            found.append(Start("", written))
    return tuple(dict.fromkeys(found))


def _built(package: Package) -> Iterator[Start]:
    for file, packages, command in _BUILT:
        if not packages or package.depends_on(*packages):
            yield Start(file, command)


def _of_development(script: str, package: Package) -> Iterator[Start]:
    """What a watching start script starts: `nodemon server.js`, `tsx watch src/index.ts`."""
    for part in commands_of(script, package):
        words = part.split()
        for name in filter(SOURCE.fullmatch, words[1:]):
            if not name.endswith(("ts", "mts", "cts")):
                yield Start(name, "node {}")
            elif words[0] == "bun":
                yield Start(name, "bun {}")
            elif words[0] in ("tsx", "ts-node-dev", "tsnd", "nodemon"):
                yield Start(name, "tsx {}" if package.depends_on("tsx") else "node {}")


def _mains(package: Package, tree: Tree) -> Iterator[str]:
    """The main file of package.json: not that of a workspace's top, nor what other programs read."""
    main = package.main.removeprefix("./")
    if main and not patterns(tree) and not _is_setting(main):
        yield from (main, f"{main}.js", f"{main}/index.js")


def _is_setting(path: str) -> bool:
    name = path.rpartition("/")[2]
    return name.startswith(".") or ".config." in name


def own_main(package: Package, tree: Tree) -> str:
    """The file that is started when nothing is built; empty when there is none."""
    return tree.first(*_mains(package, tree), *_OWN)


def foreign_adapter(package: Package, tree: Tree) -> str:
    """The adapter, such as `@sveltejs/adapter-vercel`, that builds for another platform; empty when there is none."""
    found = _foreign(package, tree)
    return found[1] if found else ""


def refuse_foreign_adapter(package: Package, tree: Tree) -> None:
    """A build that nothing here could start is refused before it begins.

    Raises:
        UserError: `build.foreign-adapter`.
    """
    found = _foreign(package, tree)
    if found is None:
        return
    framework, foreign, wanted = found
    raise UserError(
        "build.foreign-adapter",
        f"{framework} is built with {foreign}, which makes nothing that can be started here; it needs {wanted}",
        hint=f"npm install --save-dev {wanted}, and use it in place of {foreign} in the product's configuration",
        where="package.json",
    )


def _foreign(package: Package, tree: Tree) -> tuple[str, str, str] | None:
    configured = "\n".join(tree.text(name) or "" for name in _CONFIGS)
    for framework, (title, prefix, wanted, kinds) in _ADAPTERS.items():
        if framework not in package.dependencies:
            continue
        foreign = [f"{prefix}{kind}" for kind in kinds]
        used = [
            name
            for name in foreign
            if re.search(rf"[\"']{re.escape(name)}(/\w+)?[\"']", configured)
        ]
        present = [name for name in foreign if name in package.dependencies]
        is_used = used or (
            present and framework == "@sveltejs/kit" and not _own_adapter(package, configured)
        )
        if is_used:
            return title, (used or present)[0], wanted
    return None


def chooses_adapter(package: Package, tree: Tree) -> bool:
    """Whether SvelteKit's build takes the adapter of the platform that it finds itself on."""
    configured = "\n".join(tree.text(name) or "" for name in _CONFIGS)
    if re.search(r"[\"']@sveltejs/adapter-auto[\"']", configured):
        return True
    others = [name for name in package.dependencies if name.startswith("@sveltejs/adapter-")]
    return others == ["@sveltejs/adapter-auto"]


def _own_adapter(package: Package, configured: str) -> bool:
    own = ("@sveltejs/adapter-node", "@sveltejs/adapter-static")
    return any(name in package.dependencies or name in configured for name in own)
