"""How a process finds its services, and what plain variables may refer to."""

from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from gantry.config.faults import ManifestError
from gantry.config.load import load_manifest, read_manifest
from gantry.config.references import expand, names_in
from gantry.features.builds.request import with_variables
from gantry.features.services.variables import postgres_variables, process_variables
from gantry.kernel.errors import UserError
from tests.support.builders import a_request

URL = "postgresql://shop:pa%2Fss@127.0.0.1:15001/shop_production"
OWN = {"GANTRY_URL": "https://shop.example", "GANTRY_RELEASE": "r-1"}


def test_a_database_is_found_by_its_url_its_aliases_and_libpqs_variables() -> None:
    assert postgres_variables(URL, ("POSTGRES_URL", "POSTGRES_PRISMA_URL")) == {
        "DATABASE_URL": URL,
        "POSTGRES_URL": URL,
        "POSTGRES_PRISMA_URL": URL,
        "PGHOST": "127.0.0.1",
        "PGPORT": "15001",
        "PGUSER": "shop",
        "PGPASSWORD": "pa/ss",
        "PGDATABASE": "shop_production",
    }


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("postgresql://u:p@/d?host=%2Frun%2Fpg&port=5433", "/run/pg", "5433"),
        ("postgresql://u:p@[::1]:5434/d", "::1", "5434"),
        ("postgresql://u:p@db.example/d?sslmode=require", "db.example", "5432"),
    ],
)
def test_other_addresses_of_a_database(url: str, host: str, port: str) -> None:
    found = postgres_variables(url, ())
    assert (found["PGHOST"], found["PGPORT"], found["PGDATABASE"]) == (host, port, "d")


def _of(team: dict[str, str], plain: dict[str, str] | None = None) -> dict[str, str]:
    return process_variables(
        postgres_variables(URL, ("POSTGRES_URL",)), {**(plain or {}), **team}, plain or {}, OWN
    )


def test_what_a_team_sets_wins() -> None:
    found = _of({"POSTGRES_URL": "theirs", "PGDATABASE": "other"})
    assert (found["POSTGRES_URL"], found["PGDATABASE"]) == ("theirs", "other")
    assert (found["DATABASE_URL"], found["PGHOST"]) == (URL, "127.0.0.1")


@pytest.mark.parametrize("name", ["PGHOST", "PGHOSTADDR", "PGSERVICE"])
def test_a_server_of_the_teams_gets_no_name_and_password_of_ours(name: str) -> None:
    found = _of({name: "elsewhere"})
    assert {other: value for other, value in found.items() if other.startswith("PG")} == {
        name: "elsewhere"
    }
    assert found["DATABASE_URL"] == URL


def test_plain_values_refer_to_services_and_to_the_release() -> None:
    plain = {
        "SPRING_URL": "jdbc:${DATABASE_URL}?a=$b",
        "SITE": "${GANTRY_URL}/${GANTRY_RELEASE}",
        "OLD": "$DATABASE_URL",
        "DATABASE_URL": "${DATABASE_URL}?schema=app",
    }
    found = _of({}, plain)
    assert found["SPRING_URL"] == f"jdbc:{URL}?a=$b"
    assert found["SITE"] == "https://shop.example/r-1"
    assert found["OLD"] == "$DATABASE_URL"
    assert found["DATABASE_URL"] == f"{URL}?schema=app"


def test_what_was_set_for_an_environment_is_taken_as_it_is() -> None:
    found = _of({"TEXT": "${DATABASE_URL}"}, {"TEXT": "plain"})
    assert found["TEXT"] == "${DATABASE_URL}"
    found = _of({"DATABASE_URL": "postgresql://theirs/db"}, {"POSTGRES_JS": "${DATABASE_URL}"})
    assert found["POSTGRES_JS"] == "postgresql://theirs/db", (
        "the reference follows what the process gets"
    )


@given(st.text(), st.dictionaries(st.from_regex(r"[A-Z_]{1,5}", fullmatch=True), st.text()))
def test_text_without_references_never_changes_and_values_are_not_read_again(
    text: str, values: dict[str, str]
) -> None:
    if not names_in(text):
        assert expand(text, values) == text
    assert expand("${A}", {"A": "${B}", "B": "x"}) == "${B}"


def _manifest(text: str) -> str:
    return f'[project]\nname = "shop"\n{text}'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[services]\npostgres = true\n[variables.plain]\nA = "${DATABASE_ULR}"', "DATABASE_URL"),
        ('[variables.plain]\nA = "${DATABASE_URL}"', "needs postgres = true in [services]"),
        ('[variables.plain]\nA = "${SECRET}"', "is none of GANTRY_ENVIRONMENT"),
        ('[variables.plain]\nA = "$${GANTRY_URL}"', "has $${, which has no meaning here"),
        ('[variables.plain]\nA = "${GANTRY_URL"', "no name and } follow"),
        ('[variables.plain]\nA = "${}"', "no name and } follow"),
        (
            '[build]\nenv = ["A"]\n[variables.plain]\nA = "${GANTRY_URL}"',
            "while the product is built",
        ),
        ('[services]\npostgres = { as = ["PORT"] }', "PORT is set by Gantry"),
        ('[services]\npostgres = { as = ["REDIS_URL"] }', "is set by its service anyway"),
        ('[services]\nredis = { as = ["a b"] }', "services.redis.as[0]"),
        (
            '[services]\npostgres = { as = ["A"] }\nredis = { as = ["A"] }',
            "A belongs to postgres already",
        ),
        ('[services]\npostgres = "yes"', "must be true, false or a table, not the text 'yes'"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(ManifestError) as caught:
        load_manifest(_manifest(text))
    assert said in caught.value.message
    assert "gantry.toml:" in caught.value.message


def test_a_reference_may_need_a_service_of_some_environments_only() -> None:
    text = '[environments.production]\nservices.postgres = true\nvariables.plain.A = "${PGHOST}"'
    assert load_manifest(_manifest(text)).for_environment("production").services.postgres
    with pytest.raises(ManifestError, match=r"variables\.plain\.A: refers to"):
        load_manifest(_manifest('[variables.plain]\nA = "${PGHOST}"\n' + text))


def test_a_name_without_braces_stays_and_is_noted() -> None:
    text = '[services]\npostgres = true\n[variables.plain]\nPOSTGRES_URL = "$DATABASE_URL"\nPRICE = "$5"'
    reading = read_manifest(_manifest(text), "gantry.toml", None, None)
    assert [note for note in reading.notes if "stays as it is written" in note] == [
        "gantry.toml: variables.plain.POSTGRES_URL: $DATABASE_URL stays as it is written; ${DATABASE_URL} stands for its value"
    ]


def test_a_public_variable_cannot_refer_to_what_the_build_does_not_have(tmp_path: Path) -> None:
    manifest = load_manifest(_manifest('[variables.plain]\nNEXT_PUBLIC_URL = "${GANTRY_URL}"'))
    request = a_request(tmp_path)
    with pytest.raises(UserError) as caught:
        with_variables(request, manifest, dict(manifest.variables.plain), ("NEXT_PUBLIC_",), ())
    assert caught.value.code == "variable.not-at-build"
    set_since = with_variables(
        request, manifest, {"NEXT_PUBLIC_URL": "https://x"}, ("NEXT_PUBLIC_",), ()
    )
    assert set_since.env == {"NEXT_PUBLIC_URL": "https://x"}


def test_releases_of_before_are_still_read() -> None:
    manifest = load_manifest(_manifest("[services]\npostgres = true"))
    stored = manifest.for_environment("production").model_dump(mode="json")
    stored["services"]["postgres"] = True
    assert type(manifest).model_validate(stored).services.variables[0] == "DATABASE_URL"
