"""Names that several floors and the world outside must agree on."""

# On every answer of the edge: the release whose instance gave it.
RELEASE_HEADER = "x-gantry-release"
# Before every path of the HTTP API.
API_PREFIX = "/api/v1"
