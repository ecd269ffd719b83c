"""Variables whose values are in the pages that browsers load."""

import pytest

from gantry.config.public_variables import is_public, prefixes_of, public_lines
from gantry.kernel.errors import UserError


@pytest.mark.parametrize(
    ("packages", "public", "private"),
    [
        (("next", "react"), ("NEXT_PUBLIC_API",), ("VITE_API", "PUBLIC_API", "DATABASE_URL", "NEXT_PRIVATE")),
        (("vite",), ("VITE_API",), ("PUBLIC_API", "INVITE_TOKEN")),
        (("astro",), ("PUBLIC_API",), ("VITE_API", "NEXT_PUBLIC_API")),
        (("@sveltejs/kit", "vite"), ("PUBLIC_API", "VITE_API"), ("NEXT_PUBLIC_API",)),
        (("nuxt",), ("NUXT_PUBLIC_API",), ("NUXT_SESSION_PASSWORD", "PUBLIC_API")),
        (("react-scripts",), ("REACT_APP_API", "PUBLIC_URL"), ("REACT_API",)),
        (("@vue/cli-service",), ("VUE_APP_API",), ("VUE_API",)),
        (("gatsby",), ("GATSBY_API",), ("API",)),
        (("expo",), ("EXPO_PUBLIC_API",), ("EXPO_TOKEN",)),
        (("express", "pg"), (), ("PUBLIC_KEY_PASSWORD", "NEXT_PUBLIC_API", "VITE_API")),
        ((), (), ("PUBLIC_API",)),
    ],
)  # fmt: skip
def test_the_framework_says_what_is_public(
    packages: tuple[str, ...], public: tuple[str, ...], private: tuple[str, ...]
) -> None:
    prefixes = prefixes_of(packages)
    assert [name for name in (*public, *private) if is_public(name, prefixes)] == list(public)


@pytest.mark.parametrize(
    ("configuration", "prefixes"),
    [
        ("export default defineConfig({ envPrefix: 'APP_' })", ("APP_", "VITE_")),
        ('envPrefix: ["APP_", "SHOP_"],\n', ("APP_", "SHOP_", "VITE_")),
        ("kit: { env: { publicPrefix: `OPEN_` } }", ("OPEN_", "VITE_")),
        ("envPrefix: prefixes,", ("VITE_",)),
        ("envPrefix: ''", ("VITE_",)),
        ("", ("VITE_",)),
    ],
)
def test_another_prefix_that_the_product_chose_counts(
    configuration: str, prefixes: tuple[str, ...]
) -> None:
    assert prefixes_of(("vite",), configuration) == prefixes


FILE = """\
# what everybody may see
VITE_API="https://api.example" # theirs
export VITE_NAME=Shop
PASSWORD=hunter2
VITE_TEXT="two
# lines"

# the end
TOKEN="a
b"
"""


def test_public_lines_stay_as_they_are_written() -> None:
    expected = (
        'VITE_API="https://api.example" # theirs\nexport VITE_NAME=Shop\nVITE_TEXT="two\n# lines"\n'
    )
    assert public_lines(FILE, ("VITE_",)) == expected
    assert public_lines(f"\ufeff{FILE}".replace("\n", "\r\n"), ("VITE_",)) == expected
    assert public_lines("VITE_A=1", ("VITE_",)) == "VITE_A=1\n"
    assert public_lines(FILE, ()) == ""


def test_a_file_with_a_bad_line_gives_nothing() -> None:
    with pytest.raises(UserError, match="is not NAME=value"):
        public_lines("VITE_A=1\nprose\n", ("VITE_",))
