"""The edge's only script, for the few requests that Envoy's own options get wrong. No other request comes near it. Pure.

- A visitor's query beside that of a redirect or rewrite, which may have one of its own, or a fragment: Envoy puts it behind
  whatever it made of the path, with a `?` of its own.
- `If-Match` with a weak tag: it is weak because the edge compressed the answer, and the product, which made it strong, would
  refuse it. A weak tag that is the product's own never matches there, as RFC 9110 says in 13.1.1.
"""

from typing import Any
from urllib.parse import unquote_plus

Json = dict[str, Any]

FILTER = "envoy.filters.http.lua"
_TYPE = "type.googleapis.com/envoy.extensions.filters.http.lua.v3"
_SCRIPT = "edge"
_PER_ROUTE: Json = {FILTER: {"@type": f"{_TYPE}.LuaPerRoute", "name": _SCRIPT}}
# Where the script keeps what the visitor asked for, without the query, of a request whose path has the query in it.
PATH_NOTES, PATH_NOTE = "gantry.path", "asked"
# Between the visitor's path and query while a rewrite is on its way; what failed is shown without what comes after it.
MARK = "%3F"
# As Next.js and Vercel do it: where both name a parameter, the rule's counts.
_CODE = """
local function decoded(name)
  name = name:gsub("+", " ")
  return (name:gsub("%%(%x%x)", function(digits) return string.char(tonumber(digits, 16)) end))
end

local function besides(query, named)
  local own, kept = {}, {}
  for _, name in ipairs(named or {}) do own[name] = true end
  for part in query:gmatch("[^&]+") do
    if not own[decoded(part:match("^[^=]*"))] then kept[#kept + 1] = part end
  end
  return table.concat(kept, "&")
end

function envoy_on_request(handle)
  local tags = handle:headers():get("if-match")
  if tags then handle:headers():replace("if-match", (tags:gsub('W/"', '"'))) end
  local rule = handle:metadata()
  if rule:get("own") == nil then return end
  local path, query = handle:headers():get(":path"):match("^([^?]*)(.*)$")
  local more = besides(query:sub(2), rule:get("own"))
  if rule:get("rewrites") then
    handle:headers():replace(":path", more == "" and path or path .. "%3F&" .. more)
    handle:streamInfo():dynamicMetadata():set("gantry.path", "asked", path)
  else
    handle:streamInfo():dynamicMetadata():set("gantry.query", "whole", query)
    handle:streamInfo():dynamicMetadata():set("gantry.query", "more", more)
  end
end

function envoy_on_response(handle)
  local said = handle:streamInfo():dynamicMetadata():get("gantry.query")
  local location = handle:headers():get("location")
  if said == nil or location == nil then return end
  local target, fragment = location:sub(1, -#said["whole"] - 1):match("^([^#]*)(.*)$")
  if said["more"] == "" then return handle:headers():replace("location", target .. fragment) end
  local between = target:find("?", 1, true) and "&" or "?"
  if target:find("[?&]$") then between = "" end
  handle:headers():replace("location", target .. between .. said["more"] .. fragment)
end
"""


def script_filter() -> Json:
    """Is there for the routes that ask for it."""
    return {
        "name": FILTER,
        "disabled": True,
        "typed_config": {
            "@type": f"{_TYPE}.Lua",
            "source_codes": {_SCRIPT: {"inline_string": _CODE}},
            # The path that a rewrite is given on its way leads nowhere else.
            "clear_route_cache": False,
        },
    }


def strong_tags() -> Json:
    """What a route says so that `If-Match` names what the product has."""
    return {"typed_per_filter_config": _PER_ROUTE}


def merged(destination: str, *, rewrites: bool = False) -> Json:
    """What a route to `destination` says so that the visitor's query is put where it belongs."""
    query = destination.partition("#")[0].partition("?")[2]
    own = {unquote_plus(part.partition("=")[0]) for part in query.split("&") if part}
    return {
        "typed_per_filter_config": _PER_ROUTE,
        "metadata": {"filter_metadata": {FILTER: {"own": sorted(own), "rewrites": rewrites}}},
    }


def must_merge(destination: str) -> bool:
    """Whether Envoy would put a visitor's query in the wrong place."""
    return "?" in destination or "#" in destination
