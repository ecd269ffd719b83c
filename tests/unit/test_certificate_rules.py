"""Which certificates are asked for, and when."""

from gantry.features.certificates.model import StoredCertificate
from gantry.features.certificates.rules import Issue, decide
from tests.support.stories import at

DAY = 86_400


def stored(name: str, *hosts: str) -> StoredCertificate:
    authority = "local" if name == "local" else "acme"
    return StoredCertificate(name, hosts, authority, "chain", b"key", at(0), at(90 * DAY))


def test_what_is_missing_is_issued() -> None:
    assert decide(["b.localhost", "a.localhost"], ["shop.example"], [], at(0)) == (
        Issue("local", ("a.localhost", "b.localhost"), "local"),
        Issue("shop.example", ("shop.example",), "acme"),
    )


def test_a_new_host_needs_a_new_local_certificate_and_a_lost_one_does_not() -> None:
    have = [stored("local", "a.localhost", "b.localhost")]
    assert decide(["a.localhost"], [], have, at(0)) == ()
    (issue,) = decide(["a.localhost", "c.localhost"], [], have, at(0))
    assert issue.hosts == ("a.localhost", "c.localhost")


def test_renewal_comes_at_two_thirds_of_the_life() -> None:
    have = [stored("local", "a.localhost"), stored("shop.example", "shop.example")]
    assert decide(["a.localhost"], ["shop.example"], have, at(60 * DAY - 1)) == ()
    assert len(decide(["a.localhost"], ["shop.example"], have, at(60 * DAY))) == 2
