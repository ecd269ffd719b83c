"""A Next.js product whose pages say when they were made, and routes that have them made anew."""

import json
import shutil
from pathlib import Path

from tests.support.builders import write_tree
from tests.support.platform import SMART_SIGN

_NOW = "<p>made={process.hrtime.bigint().toString()}-{process.pid}</p>"

PAGES = {
    "app/layout.tsx": """
        export default function Layout({ children }: { children: React.ReactNode }) {
          return <html lang="en"><body>{children}</body></html>;
        }
    """,
    "app/page.tsx": f"""
        export const revalidate = 3600;
        export default function Page() {{ return {_NOW}; }}
    """,
    "app/fixed/page.tsx": f"""
        export default function Page() {{ return {_NOW}; }}
    """,
    "app/post/[id]/page.tsx": f"""
        export const revalidate = 3600;
        export async function generateStaticParams() {{ return [{{ id: "first" }}]; }}
        export default async function Page({{ params }}: {{ params: Promise<{{ id: string }}> }}) {{
          await params;
          return {_NOW};
        }}
    """,
    "app/large/page.tsx": f"""
        export const revalidate = 3600;
        export default function Page() {{ return <div>{{"x".repeat(9_000_000)}}{_NOW}</div>; }}
    """,
    "app/data/page.tsx": """
        import { unstable_cache } from "next/cache";
        export const dynamic = "force-dynamic";
        const news = unstable_cache(async () => `${process.hrtime.bigint()}-${process.pid}`, ["news"], { tags: ["news"] });
        export default async function Page() { return <p>made={await news()}</p>; }
    """,
    "app/feed/route.ts": """
        export const dynamic = "force-static";
        export const revalidate = 3600;
        export const GET = () => new Response(`made=${process.hrtime.bigint()}-${process.pid}`);
    """,
    "app/again/route.ts": """
        import { revalidatePath, revalidateTag } from "next/cache";
        import type { NextRequest } from "next/server";
        export async function GET(request: NextRequest) {
          const { searchParams } = request.nextUrl;
          for (const path of searchParams.getAll("path")) revalidatePath(path);
          for (const tag of searchParams.getAll("tag")) revalidateTag(tag, { expire: 0 });
          return new Response("done");
        }
    """,
}

USE_CACHE_PAGES = {
    "app/cached/page.tsx": """
        import { Suspense } from "react";
        import { cacheTag } from "next/cache";
        import { connection } from "next/server";
        async function made() {
          "use cache: remote";
          cacheTag("made");
          return `${process.hrtime.bigint()}-${process.pid}`;
        }
        async function Shown() { await connection(); return <p>made={await made()}</p>; }
        export default function Page() { return <Suspense><Shown /></Suspense>; }
    """,
    "app/layout.tsx": PAGES["app/layout.tsx"],
    "app/again/route.ts": PAGES["app/again/route.ts"],
}


def next_product(folder: Path, pages: dict[str, str], config: str = "{}") -> Path:
    """A product with `pages`, on the packages of the example."""
    wanted = json.loads((SMART_SIGN / "package.json").read_text())
    wanted["scripts"] = {"build": "next build"}
    files = {
        **pages,
        "package.json": json.dumps(wanted),
        "next.config.mjs": f"export default {config};\n",
    }
    write_tree(folder, files)
    for name in ("package-lock.json", "tsconfig.json"):
        shutil.copy(SMART_SIGN / name, folder / name)
    return folder
