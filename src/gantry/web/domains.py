"""The names under which sites are found: their records, their certificates, and what to do."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from fastapi import Path, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from gantry.config.fields import MAX_HOST_LENGTH
from gantry.features.domains.bodies import DomainBody
from gantry.features.domains.model import CertificateState, DnsState
from gantry.web.access import Developer, Viewer
from gantry.web.frame import Page, frame_of, see
from gantry.web.noun import Mark, Noun
from gantry.web.render import render
from gantry.web.services import Has

noun = Noun(
    "domains",
    "The names of sites: DNS records, certificates, and what to do.",
    marks={
        f"dns-{DnsState.HERE}": Mark("Leads here", "good", "circle-check"),
        f"dns-{DnsState.PARTLY}": Mark("Leads here in part", "warn", "triangle-alert"),
        f"dns-{DnsState.ELSEWHERE}": Mark("Leads elsewhere", "bad", "circle-x"),
        f"dns-{DnsState.MISSING}": Mark("No record", "bad", "circle-x"),
        f"dns-{DnsState.UNKNOWN}": Mark("Not known yet", "quiet", "circle-dashed"),
        f"dns-{DnsState.PRIVATE}": Mark("This machine only", "quiet", "circle"),
        CertificateState.VALID: Mark("Valid", "good", "circle-check"),
        CertificateState.LOCAL: Mark("Our own authority", "quiet", "circle"),
        CertificateState.PENDING: Mark("Pending", "busy", "loader-circle"),
        CertificateState.FAILED: Mark("Refused", "bad", "circle-x"),
        CertificateState.RENEWAL_FAILED: Mark("Renewal refused", "warn", "triangle-alert"),
        CertificateState.EXPIRED: Mark("Expired", "bad", "circle-x"),
    },
)

Host = Annotated[
    str, Path(max_length=MAX_HOST_LENGTH, description="The name, such as `shop.example.com`.")
]


@noun.api.get("/domains", summary="List the names of sites")
async def list_domains(services: Has, _caller: Viewer) -> tuple[DomainBody, ...]:
    """Every name, with what was last found out about it: nothing is looked up for this answer."""
    return await services.domains.list_all()


@noun.api.post("/domains/{host}/check", summary="Look a name up now")
async def check_domain(services: Has, _caller: Developer, host: Host) -> DomainBody:
    """Asks the DNS, at most five seconds long. If the name leads here now, its certificate is asked for again."""
    return await services.domains.check(host)


@dataclass(frozen=True, slots=True)
class DomainsPage(Page):
    """Every name."""

    template: ClassVar[str] = "domains"

    domains: tuple[DomainBody, ...]


@noun.console.get("/domains")
async def domains_page(request: Request, services: Has, caller: Viewer) -> HTMLResponse:
    """Every name, with what was last found out about it."""
    page = DomainsPage(await services.domains.list_all())
    return render(request, page, frame_of(services, caller, here="domains"))


@noun.console.post("/domains/{host}/check")
async def check_button(services: Has, _caller: Developer, host: Host) -> RedirectResponse:
    """The button "Look now"."""
    await services.domains.check(host)
    return see("/domains")
