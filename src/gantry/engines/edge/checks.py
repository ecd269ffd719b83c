"""What no edge can do, found before anything is written. Pure."""

import re
from collections import Counter
from collections.abc import Iterable

from gantry.engines.edge.protocol import (
    ASSETS,
    CACHE,
    MAX_MESSAGE,
    MAX_TITLE,
    Canary,
    Closed,
    EdgeConfig,
    Site,
    network_of,
)
from gantry.engines.edge.visitors import sides
from gantry.kernel.errors import PermanentError

_REFUSED = "the edge refused its configuration: "
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,250}")


def check(config: EdgeConfig) -> None:
    """Refuse what contradicts itself.

    Raises:
        PermanentError: `edge.rejected`.
    """
    backends = [backend.name for backend in config.backends]
    _unique("backend", backends)
    _unique("host", (host for site in config.sites for host in site.hosts))
    _unique("certificate", (certificate.name for certificate in config.certificates))
    for site in config.sites:
        if not site.hosts:
            raise rejected("a site has no host")
        for backend in _backends_of(site):
            if backend not in backends:
                raise rejected(f"{site.hosts[0]} is sent to {backend}, which is no backend")
        if site.canary is not None:
            _check_canary(site.canary)
        if site.closed is not None:
            _check_closed(site.closed)
    for certificate in config.certificates:
        if not _FILE_NAME.fullmatch(certificate.name):
            raise rejected(f"{certificate.name!r} cannot be the name of a certificate")


def _backends_of(site: Site) -> Iterable[str]:
    if site.backend is not None:
        yield site.backend
    if site.canary is not None:
        yield site.canary.candidate
    if site.mirror is not None:
        yield site.mirror
    if site.assets is not None:
        yield ASSETS
    if any(side.site.cached for side in sides(site)):
        yield CACHE
    yield from (pin.backend for pin in site.pins)


def _check_canary(canary: Canary) -> None:
    if not 1 <= canary.buckets <= 100 or 100 % canary.buckets:
        raise rejected(f"{canary.buckets} buckets do not divide 100")
    if not 0 <= canary.percent <= 100 or canary.percent * canary.buckets % 100:
        raise rejected(f"{canary.percent} % is no number of {canary.buckets} buckets")


def _check_closed(closed: Closed) -> None:
    if len(closed.title) > MAX_TITLE or len(closed.message) > MAX_MESSAGE:
        raise rejected(f"the page of a closed site is too long: {closed.title[:MAX_TITLE]}")
    for network in closed.allowed:
        try:
            network_of(network)
        except ValueError as error:
            raise rejected(f"a closed site lets {network!r} through: {error}") from error


def rejected(reason: str) -> PermanentError:
    """The error for a configuration that the edge does not take, with the edge's own words."""
    return PermanentError(
        "edge.rejected",
        f"{_REFUSED}{reason or 'it does not say why'}",
        hint="the configuration before stays in effect; please report this",
    )


def reason_of(error: PermanentError) -> str:
    """The edge's own words in an error made by `rejected`."""
    return error.message.removeprefix(_REFUSED)


def _unique(what: str, names: Iterable[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise rejected(f"{what} {twice[0]} is there twice")
