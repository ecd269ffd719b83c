"""What public starters write, for `python -m benchmarks.strangers`: which starters, which versions, which answers.

A starter that takes its template from GitHub cannot run everywhere. For each of those there is a stand-in: the same
packages, and the few files that the template consists of.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

# Everything that is run, at one version each. What the starters themselves install is the newest that they ask for.
VERSIONS = {
    "astro": "7.3.5",
    "astrojs-node": "11.1.6",
    "create-astro": "5.2.4",
    "create-next-app": "16.4.3",
    "create-nuxt": "3.37.0",
    "create-react-router": "8.4.0",
    "create-turbo": "2.11.4",
    "create-vite": "9.3.0",
    "dj-database-url": "3.1.2",
    "django": "5.2.19",
    "drizzle-kit": "0.31.11",
    "drizzle-orm": "0.45.4",
    "express-generator": "4.16.1",
    "fastapi": "0.165.0",
    "fastify-cli": "8.0.2",
    "flask": "3.1.3",
    "nestjs-cli": "12.0.8",
    "pnpm": "10.34.9",
    "poetry": "2.5.1",
    "sv": "0.17.1",
    "uv": "0.13.9",
}


@dataclass(frozen=True, slots=True)
class Starter:
    """One public starter.

    Attributes:
        make: shell commands that write the product into the folder `app`, with `{name}` for versions.
        files: what its reader adds then, relative to `app`, as the tutorial says.
        then: shell commands in `app` after that: what a developer installs, so that there is a lock file.
        build: shell command in `app` that builds it outside Gantry.
        tools: programs from PyPI that it needs.
        stand_in: files instead of `make`, for where the starter cannot get its template.
        path: what must answer.
        shows: a text of that page.
        third: part of the third that CI runs.
    """

    name: str
    make: tuple[str, ...] = ("mkdir app",)
    files: Mapping[str, str] = field(default_factory=dict)
    then: tuple[str, ...] = ("npm install",)
    build: str = "npm run build"
    tools: tuple[str, ...] = ()
    stand_in: Mapping[str, str] = field(default_factory=dict)
    path: str = "/"
    shows: str = ""
    third: bool = False


_NEXT = "npx -y create-next-app@{create-next-app} app --yes --use-npm --skip-install --disable-git"
_VITE = "npx -y create-vite@{create-vite} app --no-interactive --template"
_SV = "npx -y sv@{sv} create app --template minimal --types ts --no-add-ons --no-install"
_FASTAPI = (
    "from fastapi import FastAPI\n\napp = FastAPI()\n\n\n"
    '@app.get("/")\ndef root() -> dict[str, str]:\n    return {"message": "Hello World"}\n'
)
_FLASK = (
    'from flask import Flask\n\napp = Flask(__name__)\n\n\n@app.route("/")\n'
    'def hello_world():\n    return "<p>Hello, World!</p>"\n'
)
_DATABASES = (
    "\nimport os\n\nimport dj_database_url\n\n"
    'DATABASES = {"default": dj_database_url.config(default="sqlite:///db.sqlite3")}\n'
    'ALLOWED_HOSTS = [".localhost"]\nSTATIC_ROOT = BASE_DIR / "staticfiles"\n'
)
_ASTRO = {
    "package.json": '{"name": "app", "type": "module", "version": "0.0.1", "scripts": {"dev": "astro dev", '
    '"build": "astro build", "preview": "astro preview", "astro": "astro"}, "dependencies": {"astro": "^{astro}"}}',
    "astro.config.mjs": "// @ts-check\nimport { defineConfig } from 'astro/config';\nexport default defineConfig({});\n",
    "tsconfig.json": '{"extends": "astro/tsconfigs/strict", "include": [".astro/types.d.ts", "**/*"], "exclude": ["dist"]}',
    "src/pages/index.astro": "---\n---\n<html lang='en'><head><title>Astro</title></head><body><h1>Astro</h1></body></html>\n",
    ".gitignore": "dist/\n.astro/\nnode_modules/\n.env\n",
}  # fmt: skip
_ASTRO_SERVER = (
    "import { defineConfig } from 'astro/config';\nimport node from '@astrojs/node';\n"
    "export default defineConfig({ output: 'server', adapter: node({ mode: 'standalone' }) });\n"
)
_REACT_ROUTER = {
    "package.json": '{"name": "app", "private": true, "type": "module", "scripts": {"build": "react-router build", '
    '"dev": "react-router dev", "start": "react-router-serve ./build/server/index.js"}, "dependencies": '
    '{"@react-router/node": "{create-react-router}", "@react-router/serve": "{create-react-router}", '
    '"react-router": "{create-react-router}", "isbot": "^5", "react": "^19", "react-dom": "^19"}, "devDependencies": '
    '{"@react-router/dev": "{create-react-router}", "@tailwindcss/vite": "^4", "@types/node": "^22", '
    '"@types/react": "^19", "@types/react-dom": "^19", "tailwindcss": "^4", "typescript": "^5", "vite": "^7"}}',
    "react-router.config.ts": 'import type { Config } from "@react-router/dev/config";\n'
    "export default { ssr: true } satisfies Config;\n",
    "vite.config.ts": 'import { reactRouter } from "@react-router/dev/vite";\nimport tailwindcss from "@tailwindcss/vite";\n'
    'import { defineConfig } from "vite";\nexport default defineConfig({ plugins: [tailwindcss(), reactRouter()] });\n',
    "app/app.css": '@import "tailwindcss";\n',
    "Dockerfile": "FROM node:22-alpine\nWORKDIR /app\nCOPY . .\nRUN npm ci && npm run build\nCMD [\"npm\", \"run\", \"start\"]\n",
    ".dockerignore": ".react-router\nbuild\nnode_modules\nREADME.md\n",
    "app/routes.ts": 'import { type RouteConfig, index } from "@react-router/dev/routes";\n'
    'export default [index("routes/home.tsx")] satisfies RouteConfig;\n',
    "app/routes/home.tsx": "export default function Home() { return <h1>Welcome</h1>; }\n",
    "app/root.tsx": 'import "./app.css";\nimport { Links, Meta, Outlet, Scripts, ScrollRestoration } from "react-router";\n'
    "export function Layout({ children }: { children: React.ReactNode }) {\n"
    '  return <html lang="en"><head><Meta /><Links /></head><body>{children}<ScrollRestoration /><Scripts /></body></html>;\n'
    "}\nexport default function App() { return <Outlet />; }\n",
    "tsconfig.json": '{"include": ["**/*"], "compilerOptions": {"jsx": "react-jsx", "module": "ES2022", '
    '"moduleResolution": "bundler", "target": "ES2022", "strict": true, "skipLibCheck": true}}',
    ".gitignore": "node_modules/\n.react-router/\nbuild/\n.env\n",
}  # fmt: skip
_NUXT = {
    "package.json": '{"name": "app", "private": true, "type": "module", "scripts": {"build": "nuxt build", "dev": "nuxt dev", '
    '"generate": "nuxt generate", "preview": "nuxt preview", "postinstall": "nuxt prepare"}, "dependencies": '
    '{"nuxt": "^4", "vue": "^3", "vue-router": "^4"}}',
    "nuxt.config.ts": "export default defineNuxtConfig({ compatibilityDate: '2025-07-15', devtools: { enabled: true } })\n",
    "app/app.vue": "<template>\n  <div>\n    <NuxtRouteAnnouncer />\n    <NuxtWelcome />\n  </div>\n</template>\n",
    "tsconfig.json": '{"files": [], "references": [{"path": "./.nuxt/tsconfig.app.json"}]}',
    ".gitignore": ".output\n.data\n.nuxt\n.nitro\n.cache\ndist\nnode_modules\n.env\n",
}  # fmt: skip


def _next_of_turbo(name: str) -> dict[str, str]:
    return {
        f"apps/{name}/package.json": f'{{"name": "{name}", "version": "0.1.0", "private": true, "type": "module", "scripts": '
        '{"dev": "next dev --port 3000", "build": "next build", "start": "next start"}, "dependencies": '
        '{"@repo/ui": "workspace:*", "next": "^16", "react": "^19", "react-dom": "^19"}, "devDependencies": '
        '{"@repo/typescript-config": "workspace:*", "@types/node": "^22", "@types/react": "^19", '
        '"@types/react-dom": "^19", "typescript": "^5"}}',
        f"apps/{name}/next.config.js": "export default {};\n",
        f"apps/{name}/tsconfig.json": '{"extends": "@repo/typescript-config/nextjs.json", "compilerOptions": '
        '{"plugins": [{"name": "next"}]}, "include": ["**/*.ts", "**/*.tsx", "next-env.d.ts", ".next/types/**/*.ts"], '
        '"exclude": ["node_modules"]}',
        f"apps/{name}/app/layout.tsx": "export default function Layout({ children }: { children: React.ReactNode }) {\n"
        '  return <html lang="en"><body>{children}</body></html>;\n}\n',
        f"apps/{name}/app/page.tsx": 'import { Button } from "@repo/ui/button";\n'
        f'export default function Page() {{ return <main>{name} of two <Button appName="{name}" /></main>; }}\n',
    }


_TURBO = {
    "package.json": '{"name": "app", "private": true, "scripts": {"build": "turbo run build", "dev": "turbo run dev", '
    '"check-types": "turbo run check-types"}, "devDependencies": {"turbo": "^{create-turbo}", "typescript": "^5"}, '
    '"packageManager": "pnpm@{pnpm}", "engines": {"node": ">=18"}}',
    "pnpm-workspace.yaml": 'packages:\n  - "apps/*"\n  - "packages/*"\n',
    "turbo.json": '{"ui": "tui", "tasks": {"build": {"dependsOn": ["^build"], "inputs": ["$TURBO_DEFAULT$", ".env*"], '
    '"outputs": [".next/**", "!.next/cache/**"]}, "check-types": {"dependsOn": ["^check-types"]}, '
    '"dev": {"cache": false, "persistent": true}}}',
    "packages/typescript-config/package.json": '{"name": "@repo/typescript-config", "version": "0.0.0", "private": true}',
    "packages/typescript-config/nextjs.json": '{"compilerOptions": {"allowJs": true, "esModuleInterop": true, '
    '"incremental": false, "isolatedModules": true, "jsx": "preserve", "lib": ["es2022", "DOM", "DOM.Iterable"], '
    '"module": "ESNext", "moduleResolution": "Bundler", "noEmit": true, "resolveJsonModule": true, '
    '"skipLibCheck": true, "strict": true, "target": "ES2022"}}',
    "packages/ui/package.json": '{"name": "@repo/ui", "version": "0.0.0", "private": true, '
    '"exports": {"./*": "./src/*.tsx"}, "scripts": {"check-types": "tsc --noEmit"}, "dependencies": '
    '{"react": "^19", "react-dom": "^19"}, "devDependencies": {"@repo/typescript-config": "workspace:*", '
    '"@types/react": "^19", "typescript": "^5"}}',
    "packages/ui/src/button.tsx": '"use client";\nexport const Button = ({ appName }: { appName: string }) => '
    "<button onClick={() => alert(`Hello from ${appName}`)}>Open</button>;\n",
    ".gitignore": "node_modules\n.turbo\n.next/\nout/\nbuild\ndist\n.env\n",
    **_next_of_turbo("web"),
    **_next_of_turbo("docs"),
}
_DRIZZLE = {
    "drizzle.config.ts": 'import { defineConfig } from "drizzle-kit";\nexport default defineConfig({\n'
    '  out: "./drizzle", schema: "./db/schema.ts", dialect: "postgresql",\n'
    "  dbCredentials: { url: process.env.DATABASE_URL! },\n});\n",
    "db/schema.ts": 'import { integer, pgTable, varchar } from "drizzle-orm/pg-core";\n'
    'export const users = pgTable("users", {\n  id: integer().primaryKey().generatedAlwaysAsIdentity(),\n'
    "  name: varchar({ length: 255 }).notNull(),\n});\n",
    "db/index.ts": 'import { drizzle } from "drizzle-orm/node-postgres";\n'
    "export const db = () => drizzle(process.env.DATABASE_URL!);\n",
    "app/page.tsx": 'import { connection } from "next/server";\nimport { Suspense } from "react";\n'
    'import { db } from "@/db";\nimport { users } from "@/db/schema";\nasync function Users() {\n  await connection();\n'
    "  const found = await db().select().from(users);\n  return <main>{found.length} users</main>;\n}\n"
    "export default function Page() {\n  return <Suspense fallback={<p>Loading</p>}><Users /></Suspense>;\n}\n",
    ".env.example": "DATABASE_URL=\n",
}  # fmt: skip

STARTERS = (
    Starter("next", (_NEXT,)),
    Starter("next-empty", (f"{_NEXT} --empty",), third=True),
    Starter("next-pages", (f"{_NEXT} --empty --no-app --js --src-dir",)),
    Starter("next-drizzle", (f"{_NEXT} --empty",), _DRIZZLE,
            ("npm install drizzle-orm@{drizzle-orm} pg", "npm install -D drizzle-kit@{drizzle-kit} @types/pg",
             "npx drizzle-kit generate"), shows="users</main>"),
    Starter("vite-react", (f"{_VITE} react-ts",), shows='<div id="root">', third=True),
    Starter("vite-vue", (f"{_VITE} vue-ts",), shows='<div id="app">'),
    Starter("vite-svelte", (f"{_VITE} svelte-ts",), shows='<div id="app">'),
    Starter("astro", ("npx -y create-astro@{create-astro} app --template minimal --no-install --no-git --skip-houston --yes",),
            stand_in=_ASTRO, shows="<h1>Astro</h1>"),
    Starter("astro-server",
            ("npx -y create-astro@{create-astro} app --template minimal --no-install --no-git --skip-houston --yes",),
            {"astro.config.mjs": _ASTRO_SERVER}, ("npm install @astrojs/node@{astrojs-node}",), stand_in=_ASTRO,
            shows="<h1>Astro</h1>"),
    Starter("react-router", ("npx -y create-react-router@{create-react-router} app --yes --no-install --no-git-init",),
            stand_in=_REACT_ROUTER, shows="Welcome"),
    Starter("nuxt", ("npx -y create-nuxt@{create-nuxt} app --packageManager npm --gitInit false --no-install --template minimal",),
            stand_in=_NUXT, shows="Welcome to Nuxt!"),
    Starter("sveltekit-node", (_SV, "cd app && npx -y sv@{sv} add sveltekit-adapter=adapter:node --no-install --no-git-check"),
            shows="Welcome to SvelteKit"),
    Starter("sveltekit-auto", (_SV,), shows="Welcome to SvelteKit", third=True),
    Starter("nest", ("npx -y @nestjs/cli@{nestjs-cli} new app --package-manager npm --skip-git --skip-install",),
            shows="Hello World!"),
    Starter("fastify", ("npx -y fastify-cli@{fastify-cli} generate app --lang=js",), build="", shows='"root":true'),
    Starter("express", ("npx -y express-generator@{express-generator} app --view=pug --git",), build="",
            shows="Welcome to Express", third=True),
    Starter("turbo", ("npx -y create-turbo@{create-turbo} app --package-manager pnpm --skip-install",),
            then=("npx -y pnpm@{pnpm} install",), build="npx turbo run build", stand_in=_TURBO,
            shows="of two", third=True),
    Starter("django", ("mkdir app", "django-admin startproject mysite app"),
            {"requirements.txt": "django=={django}\npsycopg[binary]\ndj-database-url=={dj-database-url}\ngunicorn\n",
             ".gitignore": "db.sqlite3\nstaticfiles/\n.venv/\n", "mysite/settings.py+": _DATABASES},
            ("python -m venv .venv",), ".venv/bin/pip install -q -r requirements.txt", ("django=={django}",),
            shows="The install worked successfully", third=True),
    Starter("flask", files={"app.py": _FLASK, "requirements.txt": "flask=={flask}\n", ".gitignore": ".venv/\n"},
            then=("python -m venv .venv",), build=".venv/bin/pip install -q -r requirements.txt",
            shows="Hello, World!"),
    Starter("fastapi-uv", ("uv init --quiet --app app",), {"main.py": _FASTAPI},
            ("uv add --quiet 'fastapi[standard]=={fastapi}'",), "uv sync --quiet --frozen", ("uv=={uv}",),
            shows="Hello World", third=True),
    Starter("fastapi-poetry", ("mkdir app", "cd app && poetry init --no-interaction --name app --python '^3.11'"),
            {"main.py": _FASTAPI}, ("poetry add 'fastapi[standard]=={fastapi}'",),
            "poetry install --quiet --no-root", ("poetry=={poetry}",), shows="Hello World"),
)  # fmt: skip


def versioned(text: str) -> str:
    """`text` with each `{name}` replaced by the version of that program."""
    for name, version in VERSIONS.items():
        text = text.replace(f"{{{name}}}", version)
    return text
