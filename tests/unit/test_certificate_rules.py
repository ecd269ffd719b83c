"""Which certificates there should be, which are asked for and when, and which the edge gets."""

from dataclasses import replace

from gantry.features.certificates.model import ACME, ACME_DNS, LOCAL, Attempt, StoredCertificate
from gantry.features.certificates.rules import (
    RATE_LIMITED,
    Issue,
    Names,
    Policy,
    covers,
    decide,
    next_try,
    served,
    wanted,
)
from tests.support.stories import at

DAY = 86_400
HOUR = 3_600
PUBLIC = Policy("example.com", public=True)
WILDCARD = Policy("example.com", public=True, wildcard=True)
NAMES = Names(
    own=("gantry.example.com", "shop.example.com", "r-1--shop.example.com"),
    lasting=("gantry.example.com", "shop.example.com"),
    domains=("shop.example",),
)


def stored(name: str, *hosts: str, authority: str = ACME) -> StoredCertificate:
    return StoredCertificate(
        name,
        hosts or (name,),
        LOCAL if name == LOCAL else authority,
        "chain",
        b"key",
        at(0),
        at(90 * DAY),
    )


def asked(
    *issues: Issue, have: tuple[StoredCertificate, ...] = (), after_s: float = 0
) -> list[str]:
    return [issue.name for issue in decide(issues, have, {}, at(after_s))]


def test_on_a_private_domain_the_local_authority_signs_for_all_names() -> None:
    names = Names(("b.localhost", "a.localhost"), ("a.localhost",), ("shop.example",))
    assert wanted(names, Policy()) == (
        Issue(LOCAL, ("a.localhost", "b.localhost"), LOCAL),
        Issue("shop.example", ("shop.example",), ACME),
    )


def test_on_a_public_domain_names_that_last_get_a_certificate_each() -> None:
    local, *others = wanted(NAMES, PUBLIC)
    assert set(local.hosts) == set(NAMES.own), "a name is answered before it is signed for"
    assert others == [
        Issue("gantry.example.com", ("gantry.example.com",), ACME),
        Issue("shop.example.com", ("shop.example.com",), ACME),
        Issue("shop.example", ("shop.example",), ACME),
    ]


def test_with_a_dns_provider_one_wildcard_is_enough() -> None:
    _, wildcard, domain = wanted(NAMES, WILDCARD)
    assert wildcard == Issue("wildcard.example.com", ("*.example.com",), ACME_DNS)
    assert domain.name == "shop.example"


def test_a_new_host_needs_a_new_local_certificate_and_a_lost_one_does_not() -> None:
    have = (stored(LOCAL, "a.localhost", "b.localhost"),)
    assert asked(Issue(LOCAL, ("a.localhost",), LOCAL), have=have) == []
    assert asked(Issue(LOCAL, ("a.localhost", "c.localhost"), LOCAL), have=have) == [LOCAL]


def test_renewal_comes_at_two_thirds_of_the_life() -> None:
    issues = (Issue(LOCAL, ("a.localhost",), LOCAL), Issue("shop.example", ("shop.example",), ACME))
    have = (stored(LOCAL, "a.localhost"), stored("shop.example"))
    assert asked(*issues, have=have, after_s=60 * DAY - 1) == []
    assert asked(*issues, have=have, after_s=60 * DAY) == [LOCAL, "shop.example"]


def test_an_authority_that_refused_is_left_alone_for_a_while_and_longer_each_time() -> None:
    issue = Issue("shop.example", ("shop.example",), ACME)
    pauses = []
    for failures in (1, 2, 3, 4, 5, 6, 60):
        attempt = Attempt("shop.example", failures, "certificate.refused", "no", at(0))
        pause_s = (next_try(attempt, at(0)) - at(0)).total_seconds()
        pauses.append(pause_s)
        attempts = {"shop.example": attempt}
        assert decide([issue], (), attempts, at(pause_s - 1)) == ()
        assert decide([issue], (), attempts, at(pause_s)) == (issue,)
    assert pauses == [60, 300, 1200, HOUR, 3 * HOUR, 6 * HOUR, 6 * HOUR]
    limited = Attempt("shop.example", 1, RATE_LIMITED, "wait", at(0))
    assert next_try(limited, at(0)) == at(HOUR)


def test_the_first_hour_has_fewer_tries_than_lets_encrypt_takes() -> None:
    """Five failed proofs of a name an hour."""
    now, tries = 0.0, 0
    while now < HOUR:
        tries += 1
        attempt = Attempt("x", tries, "certificate.refused", "no", at(now))
        now += (next_try(attempt, at(now)) - at(now)).total_seconds()
    assert tries < 5


def test_the_local_certificate_comes_first_and_what_nobody_wants_is_not_served() -> None:
    issues = wanted(NAMES, PUBLIC)
    have = (stored("gone.example"), stored("gantry.example.com"), stored(LOCAL, *NAMES.own))
    assert [item.name for item in served(issues, have, at(0))] == [LOCAL, "gantry.example.com"]


def test_single_certificates_serve_until_the_wildcard_is_there_and_the_other_way_round() -> None:
    single = stored("shop.example.com")
    wildcard = stored("wildcard.example.com", "*.example.com", authority=ACME_DNS)
    assert served(wanted(NAMES, WILDCARD), [single], at(0)) == (single,)
    assert served(wanted(NAMES, WILDCARD), [single], at(90 * DAY)) == ()
    assert served(wanted(NAMES, WILDCARD), [single, wildcard], at(0)) == (wildcard,)
    assert served(wanted(NAMES, PUBLIC), [wildcard], at(0)) == (wildcard,)
    every = [stored(name) for name in (*NAMES.lasting, *NAMES.domains)]
    assert wildcard not in served(wanted(NAMES, PUBLIC), [wildcard, *every], at(0))


def test_a_certificate_of_another_authority_is_replaced() -> None:
    have = replace(stored("wildcard.example.com", "*.example.com"), authority=ACME)
    issue = Issue("wildcard.example.com", ("*.example.com",), ACME_DNS)
    assert asked(issue, have=(have,)) == ["wildcard.example.com"]


def test_a_wildcard_is_for_one_label() -> None:
    assert covers("*.example.com", "shop.example.com")
    assert not covers("*.example.com", "example.com")
    assert not covers("*.example.com", "a.shop.example.com")
    assert covers("shop.example.com", "shop.example.com")
