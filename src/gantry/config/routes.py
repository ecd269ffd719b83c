"""Redirects, rewrites and headers that the edge applies before a request reaches the product."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from gantry.config.fields import (
    MAX_HOST_LENGTH,
    Count,
    DurationOf,
    Section,
    Text,
    as_duration,
    bad_value,
    label_fault,
    not_supported,
    shown,
)
from gantry.config.patterns import (
    MAX_PARAMETERS,
    WHOLE_URL,
    NotSupportedError,
    parse_pattern,
    unknown_parameters,
)
from gantry.kernel.units import counted

MAX_ROUTES = 1024
MAX_CACHED = 64
MAX_PATH_TIMEOUTS = 16
MAX_LIMITS = 8
MAX_BURST = 1_000_000
# The edge takes a thousand for a site; some are its own.
MAX_HEADERS = 900
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")
_PLAIN_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}")
_EVERYTHING = "/:path*"
_WITH_HOST = re.compile(r"https?://[^/?]", re.IGNORECASE)
# What the edge says of an answer: which release gave it, and why not.
_OWN_FAMILY = "x-gantry-"
_FORBIDDEN = frozenset(
    {"connection", "content-length", "host", "keep-alive", "transfer-encoding", "upgrade"}
)


def _source(value: str) -> str:
    try:
        parse_pattern(value)
    except NotSupportedError as error:
        raise not_supported(str(error)) from None
    except ValueError as error:
        raise bad_value(str(error)) from None
    return value


def _destination(value: str) -> str:
    if any(ord(char) <= 32 or ord(char) == 127 for char in value):
        raise bad_value(f"is {shown(value)}, which has spaces or control characters in it")
    if not value.startswith("/") and _WITH_HOST.match(value) and not WHOLE_URL.fullmatch(value):
        raise not_supported(
            f"is {shown(value)}; the host of a URL can have no parameter, user or password"
        )
    if not value.startswith("/") and not WHOLE_URL.fullmatch(value):
        raise bad_value(
            f"is {shown(value)}; write a path that starts with / or a whole URL with https://"
        )
    return value


def _headers(value: Any) -> Any:  # noqa: ANN401 -- sees the value before its type is known
    """Also take Vercel's list of `{key, value}` pairs."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        return value
    table: dict[str, Any] = {}
    for pair in value:
        if not isinstance(pair, Mapping) or set(pair) != {"key", "value"}:
            raise bad_value(
                'must be a table, or a list of pairs like { key = "X-Frame-Options", value = "DENY" }'
            )
        if not isinstance(pair["key"], str) or pair["key"] in table:
            raise bad_value(f"names {shown(str(pair['key']))} twice, or not as text")
        table[pair["key"]] = pair["value"]
    return table


def _header_table(value: Mapping[str, str]) -> Mapping[str, str]:
    if not value:
        raise bad_value("is empty")
    for name, text in value.items():
        if not _HEADER_NAME.fullmatch(name):
            raise bad_value(f"has {shown(name)}, which cannot be the name of a header")
        if name.lower() in _FORBIDDEN:
            raise bad_value(f"has {name}, which belongs to the connection and cannot be set")
        if name.lower().startswith(_OWN_FAMILY):
            raise bad_value(f"has {name}; headers that begin with {_OWN_FAMILY} are the edge's own")
        if not _HEADER_VALUE.fullmatch(text):
            raise bad_value(f"has a value of {name} with line breaks or characters outside ASCII")
    return value


def _host(value: str) -> str:
    host = value.lower().removesuffix(".")
    if len(host) > MAX_HOST_LENGTH or any(label_fault(label) for label in host.split(".")):
        raise bad_value(f"is {shown(value)}; write the bare name, such as 'www.example.org'")
    return host


def _with_host(value: Any) -> Any:  # noqa: ANN401 -- sees the value before its type is known
    """Also take Vercel's `has`, as far as it is one name; a rule for a whole name needs no source."""
    if not isinstance(value, Mapping):
        return value
    table = dict(value)
    if "has" in table:
        found = _host_of(table.pop("has"))
        if found is None:
            raise not_supported('depends on has; only { type = "host", value = "…" } with one name')
        if table.setdefault("host", found) != found:
            raise bad_value("names two hosts; keep one of host and has")
    if table.get("host") is not None:
        table.setdefault("source", _EVERYTHING)
    return table


def _host_of(conditions: object) -> str | None:
    """The one name that conditions of Vercel ask for."""
    match conditions:
        case [{"type": "host", "value": str(host), **more}] if not more:
            plain = host.replace("\\.", ".")
            return plain if _PLAIN_HOST.fullmatch(plain) else None
        case _:
            return None


Source = Annotated[Text, AfterValidator(_source)]
Host = Annotated[Text, AfterValidator(_host)]
Destination = Annotated[Text, AfterValidator(_destination)]
_SOURCE = Field(
    description="Path to match, with parameters as Vercel and Next.js write them.",
    examples=["/old/:slug*"],
)


_HOST = Field(
    None,
    description="Only for visitors of this name, which is one of `domains`. Without a `source` for all of its paths.",
    examples=["www.example.org"],
)


class Redirect(Section):
    """The visitor is sent elsewhere."""

    source: Source = _SOURCE
    host: Host | None = _HOST
    destination: Destination = Field(
        description="Path or whole URL; may use the parameters of `source`. The visitor's query is kept; of a parameter "
        "that the destination has too, the destination's counts.",
        examples=["/new/:slug*"],
    )
    status: Literal[301, 302, 303, 307, 308] = Field(
        308, description="HTTP status. 308 and 301 are permanent: browsers remember them."
    )

    @model_validator(mode="before")
    @classmethod
    def _vercel_words(cls, value: Any) -> Any:  # noqa: ANN401 -- sees the value before its type is known
        """Also take Vercel's `permanent` and `statusCode`."""
        if not isinstance(value, Mapping):
            return value
        table = _with_host(value)
        permanent, code = table.pop("permanent", None), table.pop("statusCode", None)
        if (permanent is not None) + (code is not None) + ("status" in table) > 1:
            raise bad_value("says its status twice; keep one of status, statusCode and permanent")
        if permanent is not None and not isinstance(permanent, bool):
            raise bad_value("has a permanent that is neither true nor false")
        if permanent is not None:
            table["status"] = 308 if permanent else 307
        elif code is not None:
            table["status"] = code
        return table

    def _leads_to_itself(self) -> bool:
        url = WHOLE_URL.fullmatch(self.destination)
        if url is None:
            return self.destination == self.source
        return url[2].lower() == self.host and (url[4] or "/") == self.source

    @model_validator(mode="after")
    def _leads_elsewhere(self) -> "Redirect":
        if self._leads_to_itself():
            raise bad_value(f"leads {self.host or ''}{self.source} to itself")
        _check_parameters(self.source, self.destination)
        return self


class Rewrite(Section):
    """The product is asked for another path than the visitor's; the visitor's URL stays."""

    source: Source = _SOURCE
    host: Host | None = _HOST
    destination: Destination = Field(
        description="Path that the product is asked for; may use the parameters of `source`. Queries as in redirects.",
        examples=["/api/:path*"],
    )

    @model_validator(mode="before")
    @classmethod
    def _vercel_words(cls, value: Any) -> Any:  # noqa: ANN401 -- sees the value before its type is known
        """Also take Vercel's `has`."""
        return _with_host(value)

    @model_validator(mode="after")
    def _stays_inside(self) -> "Rewrite":
        if not self.destination.startswith("/"):
            raise not_supported(
                f"leads {shown(self.source)} to another host; a rewrite stays inside the product"
            )
        _check_parameters(self.source, self.destination)
        parameters = len(parse_pattern(self.source).parameters)
        if "?" in self.destination and parameters >= MAX_PARAMETERS:
            raise not_supported(
                f"has {counted(parameters, 'parameter')} and a query in its destination; the edge takes "
                f"{MAX_PARAMETERS - 1} then"
            )
        return self


class HeaderRule(Section):
    """Response headers for some paths."""

    source: Source = _SOURCE
    headers: Annotated[
        Mapping[str, Text], BeforeValidator(_headers), AfterValidator(_header_table)
    ] = Field(
        description="Header name to value; or a list of `{ key, value }` as in vercel.json.",
        examples=[{"X-Frame-Options": "DENY"}],
    )


_Patience = DurationOf("1s", "1d")


class PathTimeouts(Section):
    """Other timeouts for some paths; what is left out is that of all paths."""

    source: Source = _SOURCE
    response_s: Annotated[float, _Patience] | None = Field(
        None, alias="response", description="As above.", examples=["20m"]
    )
    idle_s: Annotated[float, _Patience] | None = Field(
        None, alias="idle", description="As above.", examples=["1h"]
    )

    def within(self, others: "Timeouts") -> tuple[float, float]:
        """`response` and `idle` of these paths, in s."""
        response_s = others.response_s if self.response_s is None else self.response_s
        return response_s, others.idle_s if self.idle_s is None else self.idle_s


class Timeouts(Section):
    """How long the edge waits for the product. An answer may take as long as it likes once it moves."""

    response_s: Annotated[float, _Patience] = Field(
        300.0,
        alias="response",
        description="From the end of the request to the beginning of the answer. After it the visitor "
        "gets status 504.",
        json_schema_extra=as_duration,
    )
    idle_s: Annotated[float, _Patience] = Field(
        300.0,
        alias="idle",
        description="Silence in the middle of an answer or an upload, also of an event stream. Never less "
        "than `response`; for WebSockets never less than an hour. Who reads slowly is not silent.",
        json_schema_extra=as_duration,
    )
    paths: Annotated[tuple[PathTimeouts, ...], Field(max_length=MAX_PATH_TIMEOUTS)] = Field(
        (), description="Others for some paths; the first that matches counts."
    )


_PERIODS = {"second": 1.0, "minute": 60.0, "hour": 3_600.0, "day": 86_400.0}
_RATE = re.compile(rf"([1-9][0-9]{{0,5}}) ?(?:/|per) ?({'|'.join(_PERIODS)})")
_PER = re.compile(r"address|(cookie|header) ([!#$%&'*+.^_`|~0-9A-Za-z-]{1,128})")


def _rate(value: str) -> str:
    if not _RATE.fullmatch(value):
        raise bad_value(
            f"is {shown(value)}; write a number of requests and a period: '100/minute' "
            f"({', '.join(_PERIODS)})"
        )
    return value


def _per(value: str) -> str:
    if not _PER.fullmatch(value):
        raise bad_value(
            f"is {shown(value)}; write 'address', or a cookie or header with its name: "
            "'cookie session', 'header x-api-key'"
        )
    return value


class Limit(Section):
    """How often each visitor may ask for some paths, of all instances together."""

    source: Source = Field(
        description="Path to match, with parameters as Vercel and Next.js write them. What the visitor asks for counts, "
        "not what a rewrite makes of it.",
        examples=["/api/:path*"],
    )
    rate: Annotated[
        Text,
        AfterValidator(_rate),
        WithJsonSchema({"type": "string", "pattern": f"^{_RATE.pattern}$"}),
    ] = Field(
        description="Requests in a second, minute, hour or day, in the mean.",
        examples=["100/minute"],
    )
    burst: Annotated[Count, Field(ge=1, le=MAX_BURST)] | None = Field(
        None,
        description="As many at once, after a time without. Left out, it is the number of `rate`.",
        examples=[20],
    )
    per: Annotated[Text, AfterValidator(_per)] = Field(
        "address",
        description="What tells visitors apart: `address` (of IPv6 the first 64 bits), or the value of a cookie or a header: "
        "`cookie session`, `header x-api-key`. Who sends none is told apart by address.",
    )
    status: Literal[429, 503] = Field(
        429, description="Of the refusal, which says in `retry-after` when to come again."
    )

    @property
    def requests(self) -> int:
        """How many in `period_s`."""
        return int(self._parts()[1])

    @property
    def period_s(self) -> float:
        """The period of the rate."""
        return _PERIODS[self._parts()[2]]

    @property
    def at_once(self) -> int:
        """How many after a time without."""
        return self.requests if self.burst is None else self.burst

    @property
    def key(self) -> tuple[str, str]:
        """What tells visitors apart: `address`, `cookie` or `header`, and the name of the last two."""
        kind, _, name = self.per.partition(" ")
        return kind, name.lower() if kind == "header" else name

    def _parts(self) -> re.Match[str]:
        found = _RATE.fullmatch(self.rate)
        assert found is not None, "it was read"
        return found


class Routes(Section):
    """Rules for paths. Of two rules with one source the manifest's wins over that of vercel.json."""

    redirects: Annotated[tuple[Redirect, ...], Field(max_length=MAX_ROUTES)] = Field(
        (), description="Sends visitors elsewhere."
    )
    rewrites: Annotated[tuple[Rewrite, ...], Field(max_length=MAX_ROUTES)] = Field(
        (), description="Asks the product for another path."
    )
    headers: Annotated[tuple[HeaderRule, ...], Field(max_length=MAX_ROUTES)] = Field(
        (), description="Adds headers to answers."
    )
    timeouts: Timeouts = Field(
        default_factory=Timeouts, description="How long the edge waits for the product."
    )
    limits: Annotated[tuple[Limit, ...], Field(max_length=MAX_LIMITS)] = Field(
        (),
        description="How often visitors may ask. A request counts for every limit whose path it is.",
    )
    cache: Annotated[tuple[Source, ...], Field(max_length=MAX_CACHED)] = Field(
        (),
        description="Paths whose answers the edge keeps, where the product marks them for shared caches "
        "(`Cache-Control: s-maxage=60`).",
        examples=[["/", "/news/:slug*"]],
    )


def _check_parameters(source: str, destination: str) -> None:
    unknown = unknown_parameters(destination, parse_pattern(source))
    if unknown:
        raise bad_value(f"has {unknown[0]} in its destination, which its source does not have")
