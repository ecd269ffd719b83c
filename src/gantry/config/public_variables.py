"""Variables that everybody may see: frameworks write their values into the pages that browsers load.

A name's prefix says so, and which prefix counts is the framework's own rule. Such a variable must be there when the
pages are built: one that is set only for the running product is `undefined` in them.
"""

import re
from collections.abc import Collection, Mapping

from gantry.config.dotenv import parse_dotenv

# Package -> prefixes, as the framework documents them. The only place that knows them.
PREFIXES: Mapping[str, tuple[str, ...]] = {
    "@ngx-env/builder": ("NG_APP_",),
    "@redwoodjs/core": ("REDWOOD_ENV_",),
    "@rsbuild/core": ("PUBLIC_",),
    "@solidjs/start": ("VITE_",),
    "@sveltejs/kit": ("PUBLIC_", "VITE_"),
    "@vue/cli-service": ("VUE_APP_",),
    "astro": ("PUBLIC_",),
    "expo": ("EXPO_PUBLIC_",),
    "gatsby": ("GATSBY_",),
    "next": ("NEXT_PUBLIC_",),
    "nuxt": ("NUXT_PUBLIC_",),
    "nx": ("NX_PUBLIC_",),
    "preact-cli": ("PREACT_APP_",),
    "react-scripts": ("REACT_APP_", "PUBLIC_URL"),
    "vite": ("VITE_",),
    "vitepress": ("VITE_",),
}
# Files in which Vite and its kin are told another prefix.
CONFIGURATIONS = (
    *(f"vite.config.{ending}" for ending in ("ts", "js", "mjs", "mts", "cjs", "cts")),
    *(f"astro.config.{ending}" for ending in ("mjs", "ts", "js", "mts")),
    "svelte.config.js",
    "svelte.config.ts",
    "electron.vite.config.ts",
)
_TOLD = re.compile(r"\b(?:envPrefix|publicPrefix)\s*:\s*(\[[^\]]*\]|[\"'`][^\"'`\n]+[\"'`])")
_QUOTED = re.compile(r"[\"'`]([A-Za-z_]\w*)[\"'`]")


def prefixes_of(packages: Collection[str], configuration: str = "") -> tuple[str, ...]:
    """Prefixes of public variables in a product that depends on `packages`, sorted.

    Parameters:
        configuration: the text of its `CONFIGURATIONS`; what is computed there is not understood.
    """
    told = {name for value in _TOLD.findall(configuration) for name in _QUOTED.findall(value)}
    return tuple(sorted({prefix for name in packages for prefix in PREFIXES.get(name, ())} | told))


def is_public(name: str, prefixes: tuple[str, ...]) -> bool:
    """Whether everybody may see the variable `name`."""
    return name.startswith(prefixes)


def public_lines(text: str, prefixes: tuple[str, ...]) -> str:
    """The public variables of a `.env` file as they are written there; empty when it has none.

    Raises:
        UserError: `dotenv.invalid` with every bad line.
    """
    return "".join(entry.written for entry in parse_dotenv(text) if is_public(entry.name, prefixes))
