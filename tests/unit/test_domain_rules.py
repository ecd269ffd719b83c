"""What is said of a name: where it leads, what its visitors get, and which record to make."""

from dataclasses import replace

import pytest

from gantry.engines.dns.protocol import Records
from gantry.features.certificates.model import Attempt, StoredCertificate
from gantry.features.domains.model import (
    CertificateState as Cert,
    DnsState as Dns,
    Look,
    Name,
    NameKind,
    Seen,
)
from gantry.features.domains.rules import Machine, dns_state, is_due, judge, record
from tests.support.stories import at

DAY = 86_400
V4, V6, OTHER = "203.0.113.7", "2001:db8::7", "198.51.100.1"
MACHINE = Machine(
    addresses=frozenset({V4, V6, "10.0.0.7"}),
    public=(V4, V6),
    domain="apps.example.com",
    open=True,
    is_local=False,
)
SHOP = Name("shop.example.org", NameKind.DOMAIN, "shop", "production")
OWN = Name("shop.apps.example.com", NameKind.ENVIRONMENT, "shop", "production")


def look(*addresses: str, error: str = "", alias: str = "") -> Look:
    return Look(Records("x", addresses, alias, error), at(0))


def certificate(authority: str = "acme") -> StoredCertificate:
    return StoredCertificate("x", ("x",), authority, "", b"", at(0), at(90 * DAY))


def seen(
    name: Name = SHOP,
    found: Look | None = None,
    have: StoredCertificate | None = None,
    attempt: Attempt | None = None,
    *,
    trusted: bool = True,
) -> Seen:
    return Seen(name, found, have, trusted, attempt)


@pytest.mark.parametrize(
    ("found", "state"),
    [
        (None, Dns.UNKNOWN),
        (look(error="no DNS server answered"), Dns.UNKNOWN),
        (look(), Dns.MISSING),
        (look(V4), Dns.HERE),
        (look(V4, V6), Dns.HERE),
        (look("10.0.0.7"), Dns.HERE),
        (look(V4, OTHER), Dns.PARTLY),
        (look(OTHER), Dns.ELSEWHERE),
    ],
)
def test_where_a_name_leads(found: Look | None, state: Dns) -> None:
    assert dns_state(SHOP, found, MACHINE) is state


def test_names_of_a_local_platform_are_this_machine_s_own_and_domains_are_not() -> None:
    local = replace(MACHINE, domain="localhost", is_local=True)
    assert dns_state(OWN, None, local) is Dns.PRIVATE
    assert dns_state(SHOP, None, local) is Dns.UNKNOWN
    assert not is_due(None, Dns.PRIVATE, at(DAY))


def test_a_record_that_was_just_made_is_looked_for_more_often() -> None:
    assert is_due(None, Dns.UNKNOWN, at(0))
    assert not is_due(look(), Dns.MISSING, at(59))
    assert is_due(look(), Dns.MISSING, at(60))
    assert not is_due(look(V4), Dns.HERE, at(599))
    assert is_due(look(V4), Dns.HERE, at(600))


@pytest.mark.parametrize(
    ("have", "attempt", "trusted", "now_s", "state"),
    [
        (certificate(), False, True, 0, Cert.VALID),
        (certificate("local"), False, False, 0, Cert.LOCAL),
        (certificate("local"), False, True, 0, Cert.PENDING),
        (certificate("local"), True, True, 0, Cert.FAILED),
        (None, False, True, 0, Cert.PENDING),
        (None, True, True, 0, Cert.FAILED),
        (certificate(), True, True, 70 * DAY, Cert.RENEWAL_FAILED),
        (certificate(), True, True, 90 * DAY, Cert.EXPIRED),
    ],
)
def test_what_visitors_get(
    have: StoredCertificate | None, attempt: bool, trusted: bool, now_s: float, state: Cert
) -> None:
    failed = Attempt("x", 1, "certificate.refused", "no", at(now_s)) if attempt else None
    verdict = judge(
        seen(found=look(V4), have=have, attempt=failed, trusted=trusted), MACHINE, at(now_s)
    )
    assert verdict.certificate is state
    assert verdict.settled is (state in (Cert.VALID, Cert.LOCAL))


def test_a_missing_record_is_named_as_a_provider_asks_for_it() -> None:
    (advice,) = judge(seen(found=look()), MACHINE, at(0)).advice
    assert f"shop.example.org  A  {V4} and shop.example.org  AAAA  {V6}" in advice
    assert record(OWN, MACHINE) == f"*.apps.example.com  A  {V4} and *.apps.example.com  AAAA  {V6}"


def test_an_address_of_another_machine_is_named_and_one_behind_a_router_can_be_ours() -> None:
    (advice,) = judge(seen(found=look(V4, OTHER, alias="old.example")), MACHINE, at(0)).advice[:1]
    assert OTHER in advice
    assert V4 not in advice
    assert "old.example" in advice
    behind = replace(MACHINE, addresses=frozenset({"10.0.0.7"}), public=())
    (advice,) = judge(seen(found=look(OTHER)), behind, at(0)).advice[:1]
    assert f"gantry settings set public_address {OTHER}" in advice


def test_closed_ports_are_named_where_visitors_should_come() -> None:
    closed = replace(MACHINE, open=False)
    advice = judge(seen(found=look(V4), have=certificate()), closed, at(0)).advice
    assert any("gantry settings set bind" in line for line in advice)
    local = replace(closed, is_local=True)
    assert judge(seen(OWN, None, certificate("local"), trusted=False), local, at(0)).advice == ()


def test_the_authority_s_words_and_the_next_try_are_shown() -> None:
    failed = Attempt("x", 1, "certificate.refused", "the authority could not reach it.", at(0))
    (advice,) = judge(seen(found=look(V4), attempt=failed), MACHINE, at(0)).advice
    assert advice == "the authority could not reach it. Next try in 60 s."
    (advice,) = judge(seen(found=look(V4), attempt=failed), MACHINE, at(DAY)).advice
    assert advice.endswith("Next try within a minute.")
    # Without a record that is all there is to say.
    (advice,) = judge(seen(found=look(), attempt=failed), MACHINE, at(0)).advice
    assert "Make this one" in advice
