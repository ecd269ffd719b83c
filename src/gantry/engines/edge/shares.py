"""What is looked at before anything is done for a request: how much its visitor has open, and which name it asks for. Pure.

Each visitor may have so many requests at once, and so many whose body is not whole yet.

A visitor is an IPv4 address or a /64 of IPv6, which one household or machine is given whole; behind a trusted proxy it is
the address that the proxy names. Envoy limits connections and rates, but nothing that an address has open, and nothing
tells a script that a request has ended. So the script keeps a weak reference to what Envoy hands it for each request:
whatever ended is gone once Lua has collected its garbage, and before anybody is refused it does. It is exact when it
matters, and costs nothing else of a request but a table's entry.

Each of Envoy's threads counts for itself: a visitor whose connections reach both has twice as much.

A name that the connection's certificate is not for gets 421, whereupon browsers ask it on a connection of its own. Names are
written in one way from here on, small and without the port that is there anyway: answers are kept by them.
"""

from typing import Any

Json = dict[str, Any]

# One visitor at one thread, all sites together: an office behind one address opens a page's parts and event streams.
MAX_REQUESTS = 256
# Of them, those whose body is on its way.
MAX_UNFINISHED = 64
# Visitors that are known at once; of more, those that have nothing open are forgotten.
MAX_VISITORS = 10_000
# Garbage is not collected more often for somebody who is refused anyway.
_COLLECT_INTERVAL_MS = 100
# How Envoy calls an answer of a script, which is how the page for it is found.
REFUSED_DETAILS = "lua_response"
# Of a request of HTTP/1.0 that names no host: it gets the page of unknown names.
NO_HOST = "unknown.invalid"
_CODE = f"""
local MAX_REQUESTS, MAX_UNFINISHED, MAX_VISITORS = {MAX_REQUESTS}, {MAX_UNFINISHED}, {MAX_VISITORS}
local COLLECT_INTERVAL_MS, NO_HOST = {_COLLECT_INTERVAL_MS}, "{NO_HOST}"
"""
_CODE += """
local WEAK = {__mode = "v"}
-- What ended is looked for when it matters; between, less often than Lua would.
collectgarbage("setpause", 400)
local visitors, known = {}, 0
local begun, collected_ms = 0, 0

local function open() return {count = 0, last = 0, held = setmetatable({}, WEAK)} end

local function groups(text)
  local found = {}
  for group in text:gmatch("[^:]+") do found[#found + 1] = group end
  return found
end

-- What a function made of a text, for as many texts as there may be at once.
local function remembered(compute)
  local found, kept = {}, 0
  return function(text)
    local known = found[text]
    if known == nil then
      if kept >= MAX_VISITORS then found, kept = {}, 0 end
      known = compute(text)
      found[text], kept = known, kept + 1
    end
    return known
  end
end

-- The visitor behind `203.0.113.7:4321` or `[2001:db8::7]:4321`.
local network = remembered(function(address)
  local six = address:match("^%[([^%]%%]*)")
  if not six then return address:match("^[^:]*") end
  local four = six:match("^::ffff:(%d+%.%d+%.%d+%.%d+)$")
  if four then return four end
  local before, after = six:match("^(.-)::(.*)$")
  local first = groups(before or six)
  if before and #first < 4 then
    local rest = groups(after)
    for _ = 1, 8 - #first - #rest do first[#first + 1] = "0" end
    for _, group in ipairs(rest) do first[#first + 1] = group end
  end
  return table.concat(first, ":", 1, 4)
end)

local small = remembered(string.lower)
local without_own_port = remembered(function(name) return (name:gsub(":443$", "")) end)
local host_of = remembered(function(name) return (name:gsub(":%d+$", ""):gsub("%.$", "")) end)

local function count(list)
  local found = 0
  for _ in pairs(list.held) do found = found + 1 end
  list.count = found
end

local function look_again()
  collectgarbage("collect")
  begun, known = 0, 0
  for name, visitor in pairs(visitors) do
    count(visitor.requests)
    count(visitor.unfinished)
    if visitor.requests.count == 0 then visitors[name] = nil else known = known + 1 end
  end
end

local function visitor_of(name)
  local visitor = visitors[name]
  if not visitor then
    visitor = {requests = open(), unfinished = open()}
    visitors[name], known = visitor, known + 1
  end
  return visitor
end

local function full(visitor)
  return visitor.requests.count >= MAX_REQUESTS or visitor.unfinished.count >= MAX_UNFINISHED
end

local function add(list, handle)
  list.count, list.last = list.count + 1, list.last + 1
  list.held[list.last] = handle
  return list.last
end

-- What was begun since the last look has to be worth the next one, or time has to have passed.
local function may_look(handle)
  local now_ms = handle:timestamp()
  if begun < math.max(MAX_UNFINISHED, known) and now_ms - collected_ms < COLLECT_INTERVAL_MS then return false end
  collected_ms = now_ms
  return true
end

local function covered(names, host)
  for _, name in ipairs(names) do
    name = name:lower()
    if name == host or name:sub(1, 2) == "*." and name:sub(2) == host:match("%..*$") then return true end
  end
  return false
end

-- Whether the connection is for the name that is asked for.
local function directed(handle, asked)
  local headers = handle:headers()
  local authority = headers:get(":authority")
  if authority == asked or not authority then return true end
  local plain = small(authority)
  if asked ~= "" then plain = without_own_port(plain) end
  if plain ~= authority then headers:replace(":authority", plain) end
  if asked == "" or plain == NO_HOST then return true end
  local host = host_of(plain)
  if host == small(asked) then return true end
  return covered(handle:connection():ssl():dnsSansLocalCertificate(), host)
end

function envoy_on_request(handle)
  local stream = handle:streamInfo()
  if not directed(handle, stream:requestedServerName()) then
    return handle:respond({[":status"] = "421"}, "")
  end
  local name = network(stream:downstreamRemoteAddress())
  local visitor = visitor_of(name)
  if (full(visitor) or known > MAX_VISITORS) and may_look(handle) then
    look_again()
    visitor = visitor_of(name)
  end
  if full(visitor) then return handle:respond({[":status"] = "429"}, "") end
  begun = begun + 1
  add(visitor.requests, handle)
  -- What becomes of a connection after an upgrade is no body.
  if handle:headers():get("upgrade") then return end
  local number = add(visitor.unfinished, handle)
  for _ in handle:bodyChunks() do end
  visitor.unfinished.held[number] = nil
  visitor.unfinished.count = visitor.unfinished.count - 1
end
"""


def share_filter() -> Json:
    """Comes first: whoever has too much open is refused before anything else is done for them."""
    return {
        "name": "gantry.shares",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
            "default_source_code": {"inline_string": _CODE},
            "clear_route_cache": False,
        },
    }
