"""Pages beside those of the example that make use of its address, and of a variable that everybody may see."""

import json
import re
from collections.abc import Callable, Mapping
from urllib.parse import urljoin

PAGES = {
    "proxy.ts": """
        import { NextResponse, type NextRequest } from "next/server";
        export function proxy(request: NextRequest) {
          const { pathname, origin } = request.nextUrl;
          if (pathname === "/middleware/redirect") return NextResponse.redirect(new URL("/public", request.url));
          if (pathname === "/middleware/rewrite") return NextResponse.rewrite(new URL("/public", request.url));
          if (pathname === "/middleware/clone") {
            const url = request.nextUrl.clone();
            url.pathname = "/public";
            return NextResponse.rewrite(url);
          }
          return Response.json({ url: request.url, origin });
        }
        export const config = { matcher: "/middleware/:path*" };
    """,
    "app/route/redirect/route.ts": """
        import { NextResponse } from "next/server";
        export const GET = (request: Request) => NextResponse.redirect(new URL("/public", request.url));
    """,
    "app/route/url/route.ts": """
        import type { NextRequest } from "next/server";
        export const GET = (request: NextRequest) =>
          Response.json({ url: request.url, origin: request.nextUrl.origin });
    """,
    "app/page-redirect/page.tsx": """
        import { redirect } from "next/navigation";
        export const dynamic = "force-dynamic";
        export default function Page() { redirect("/public"); }
    """,
    "app/public/page.tsx": """
        "use client";
        export default function Page() { return <p>api={String(process.env.NEXT_PUBLIC_API)}</p>; }
    """,
}

Answer = tuple[int, Mapping[str, str], bytes]


def check_addresses(get: Callable[[str], Answer], origin: str) -> None:
    """What decision 0045 promises.

    Parameters:
        get: asks for a path as a visitor of `origin`; status, headers with lower-case names, body.
    """
    for path in ("/route/redirect", "/middleware/redirect", "/page-redirect"):
        status, headers, _ = get(path)
        assert status == 307, path
        assert urljoin(origin + path, headers["location"]) == f"{origin}/public", path
    for path in ("/route/url", "/middleware/url"):
        status, _, body = get(path)
        assert (status, json.loads(body)) == (200, {"url": origin + path, "origin": origin})
    for path in ("/middleware/rewrite", "/middleware/clone"):
        status, _, body = get(path)
        assert status == 200, path
        assert b"api=" in body, path


def public_values(get: Callable[[str], Answer]) -> set[str]:
    """Values of NEXT_PUBLIC_API that the page and its scripts have, of those that end in `.test`."""
    page = get("/public")[2].decode().replace("<!-- -->", "")
    scripts = set(re.findall(r'"(/_next/static/[^"]+?\.js[^"]*)"', page))
    assert scripts
    texts = [page, *(get(script)[2].decode() for script in scripts)]
    return {value for text in texts for value in re.findall(r"https://api\.\w+\.test", text)}
