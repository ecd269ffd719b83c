"""What the API takes and says of the edge's cache."""

from pydantic import Field

from gantry.kernel.bodies import Answer, Request


class CacheBody(Answer):
    """What the edge's cache does for an environment that names paths for it. Counts are of the last hour."""

    running: bool
    hits: int
    stale: int = Field(description="Answered with what was kept, while a newer answer was fetched.")
    misses: int
    bypassed: int = Field(description="Passed on, because the answer must not be kept.")
    share: float | None = Field(
        description="Of these requests, those that were answered from the cache: hits and stale; null where there was none."
    )
    evicted: int = Field(
        description="Answers of the live release that made room for others while they could still be given."
    )
    entries: int = Field(description="Answers that are kept.")
    size_bytes: int
    used_bytes: int = Field(description="What is kept of all environments together.")
    limit_bytes: int = Field(description="Of all together.")
    trouble: str = Field("", description="Why it is of little use, in a sentence.")


class PurgeRequest(Request):
    """What the edge should forget; nothing named means everything of the environment."""

    paths: tuple[str, ...] = Field((), max_length=256, description="`/news/today`, or `/news/*`.")
    tags: tuple[str, ...] = Field((), max_length=256, description="Of the header `Cache-Tag`.")


class PurgeBody(Answer):
    """What the edge has forgotten."""

    project: str
    environment: str
    purged: int = Field(description="Answers.")
