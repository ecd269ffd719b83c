"""Names that a project may and may not have."""

LONGEST = 40
GOOD = ("shop", "smart-sign", "a", "7", "r-abc", "b-1", "staging", "production", "x" * LONGEST)
# Each would have been another's address, no address, or a way out of a folder.
BAD = (
    "gantry",
    "console",
    "www",
    "localhost",
    "staging--smart-sign",
    "r-abc--smart-sign",
    "xn--bcher-kva",
    "..",
    ".",
    "a.b",
    "a/b",
    "Shop",
    "shop ",
    "shop\n",
    "-shop",
    "shop-",
    "x" * (LONGEST + 1),
    "bücher",
    "ѕһор",  # Cyrillic
    "shop７",
    "shop\0",
    "",
)
