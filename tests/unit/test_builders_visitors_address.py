"""What is written into copies of Next.js and Astro, so that they know the address of their visitors."""

from pathlib import Path

import pytest

from gantry.engines.builders.visitors_address import believe_the_edge, show_visitors_address
from tests.support.builders import write_tree

_SERVER = "node_modules/next/dist/server/next-server.js"
_ROUTER = "node_modules/next/dist/server/lib/router-utils/resolve-routes.js"
# As they stand in Next.js 16.4, and with the quotes of 13.5.
_INIT = (
    "const initUrl = this.fetchHostname && this.port ? `${protocol}://${this.fetchHostname}:${this.port}${req.url}` : "
    "this.nextConfig.experimental.trustHostHeader ? `https://${req.headers.host || 'localhost'}${req.url}` : req.url;\n"
)
_MIDDLEWARE = (
    "url = `${getRequestMeta(params.request, 'initProtocol')}://${this.fetchHostname || 'localhost'}:${this.port}"
    "${locale ? `/${locale}` : ''}`;\n"
)
_ROUTES = (
    "const initUrl = config.experimental.trustHostHeader ? `https://${req.headers.host || 'localhost'}${req.url}` : "
    "opts.port ? `${protocol}://${formatHostname(opts.hostname || 'localhost')}:${opts.port}${req.url}` : req.url || '';\n"
)


@pytest.mark.parametrize("quote", ["'", '"'])
@pytest.mark.parametrize(
    "below", ["", "node_modules/.pnpm/next@16.4.5_react/"], ids=["npm", "pnpm"]
)
def test_every_place_takes_the_host_that_the_edge_says(
    tmp_path: Path, quote: str, below: str
) -> None:
    files = {_SERVER: _INIT + _MIDDLEWARE, _ROUTER: _ROUTES}
    write_tree(
        tmp_path, {f"{below}{path}": text.replace("'", quote) for path, text in files.items()}
    )
    assert show_visitors_address(tmp_path)
    server, router = (tmp_path / f"{below}{path}" for path in (_SERVER, _ROUTER))
    asked = "(req.headers['x-forwarded-host'] ?? req.headers.host)"
    of_request = f"const initUrl = {asked} ? `${{protocol}}://${{{asked}}}${{req.url}}` : "
    assert server.read_text().splitlines()[0].startswith(f"{of_request}this.fetchHostname")
    assert router.read_text().startswith(f"{of_request}config.experimental")
    middleware = server.read_text().splitlines()[1]
    assert "://${(params.request.headers['x-forwarded-host'] ??" in middleware
    assert middleware.count("`") == _MIDDLEWARE.count("`") + 2, "its own address is still there"


@pytest.mark.parametrize(
    "files",
    [
        {},
        {_SERVER: _INIT, _ROUTER: _ROUTES},
        {_SERVER: _INIT + _MIDDLEWARE},
        {_SERVER: _INIT + _MIDDLEWARE, _ROUTER: "const initUrl = address(req);"},
    ],
    ids=["nothing", "no middleware", "no router", "another router"],
)
def test_a_version_that_is_not_known_is_said_to_be(tmp_path: Path, files: dict[str, str]) -> None:
    assert not show_visitors_address(write_tree(tmp_path, files))


def test_a_link_to_another_next_is_not_followed(tmp_path: Path) -> None:
    files = {_SERVER: _INIT + _MIDDLEWARE, _ROUTER: _ROUTES}
    outside = write_tree(tmp_path / "outside", files)
    (tmp_path / "app/node_modules").mkdir(parents=True)
    (tmp_path / "app/node_modules/next").symlink_to(outside / "node_modules/next")
    assert not show_visitors_address(tmp_path / "app")
    assert (outside / _SERVER).read_text() == files[_SERVER]


def test_the_package_store_keeps_its_own_next(tmp_path: Path) -> None:
    """A product that starts Next.js by itself has the packages of the store under further names."""
    files = {_SERVER: _INIT + _MIDDLEWARE, _ROUTER: _ROUTES}
    store = write_tree(tmp_path / "store", files)
    for path in files:
        (tmp_path / "app" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "app" / path).hardlink_to(store / path)
    assert show_visitors_address(tmp_path / "app")
    assert {path: (store / path).read_text() for path in files} == files
    assert all("x-forwarded-host" in (tmp_path / "app" / path).read_text() for path in files)
    assert not list(tmp_path.rglob("*.new"))


# As it stands in what Astro 5.18 and 7.3 build.
_ASTRO_5 = '],"assets":[],"checkOrigin":true,"allowedDomains":%s,"actionBodySizeLimit":1048576'
_ASTRO_7 = '"checkOrigin":true,"actionBodySizeLimit":1048576,"allowedDomains":%s,"key":"xlEW"'


@pytest.mark.parametrize("manifest", [_ASTRO_5, _ASTRO_7], ids=["5.18", "7.3"])
@pytest.mark.parametrize(("own", "after"), [("[]", "[{}]"), ('[{"hostname":"a.example"}]', None)])
def test_an_astro_server_believes_the_edge_unless_it_names_domains(
    tmp_path: Path, manifest: str, own: str, after: str | None
) -> None:
    server = "apps/web/dist/server"
    other = 'const other = {"allowedDomains":[]}'
    files = {
        f"{server}/chunks/manifest_a-1.mjs": manifest % own,
        f"{server}/entry.mjs": "serve()",
        f"{server}/other.mjs": other,
    }
    (tmp_path / server).mkdir(parents=True)
    (tmp_path / server / "odd.mjs").write_bytes(b"\xff\xfe")
    believe_the_edge(write_tree(tmp_path, files), "apps/web")
    found = (tmp_path / server / "chunks/manifest_a-1.mjs").read_text()
    assert found == manifest % (after or own)
    assert (tmp_path / server / "other.mjs").read_text() == other


def test_a_server_behind_a_link_is_left_alone(tmp_path: Path) -> None:
    text = _ASTRO_5 % "[]"
    files = {"server/entry.mjs": "", "server/manifest_a.mjs": text, "app/dist/x": ""}
    write_tree(tmp_path, files)
    (tmp_path / "app/dist/server").symlink_to(tmp_path / "server")
    believe_the_edge(tmp_path / "app", "")
    assert (tmp_path / "server/manifest_a.mjs").read_text() == text


@pytest.mark.parametrize("name", ["@react-router/serve", "@remix-run/serve"])
@pytest.mark.parametrize(
    "below",
    ["node_modules/", "node_modules/.pnpm/{}@8.4.0_x/node_modules/", "apps/web/node_modules/"],
)
def test_servers_on_express_believe_the_edge_and_their_package_store_keeps_them(
    tmp_path: Path, name: str, below: str
) -> None:
    path = f"{below.format(name.replace('/', '+'))}{name}/dist/cli.js"
    text = 'let app = express();\n  app.disable("x-powered-by");\n  app.use(compression());\n'
    write_tree(tmp_path, {"store.js": text})
    (tmp_path / "tree" / path).parent.mkdir(parents=True)
    (tmp_path / "tree" / path).hardlink_to(tmp_path / "store.js")
    for _ in range(2):
        believe_the_edge(tmp_path / "tree", "apps/web")
        assert (tmp_path / "tree" / path).read_text().count('app.set("trust proxy", true);') == 1
    assert (tmp_path / "store.js").read_text() == text
