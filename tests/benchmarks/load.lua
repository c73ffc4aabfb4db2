-- wrk's script: KIND (one, list, identified, get), LIST SIZE, USERS, KEY ("" for none), SEED. Prints a line of JSON at
-- the end. The bodies are made before the load. Identified lists get new event_ids (random UUIDs, version 4) for each
-- request: 0.4 ms for a thousand, as only pieces of text are put into a table, which is then joined.
local kind, size, users, key
local bodies = {}
local hex, hex_dash, version_dash, variant_dash = {}, {}, {}, {}
local PIECES = 9 -- of an item: what precedes its id, and eight of the id

local function fields()
  return string.format('"user_id": %d, "action_type": "purchase", "value": "%d.%02d"',
    math.random(users), math.random(0, 99), math.random(0, 99))
end

local function body()
  if kind == "one" then return "{" .. fields() .. "}" end
  local items = {}
  for i = 1, size do items[i] = "{" .. fields() .. "}" end
  return "[" .. table.concat(items, ",") .. "]"
end

local function template()
  local pieces = {}
  for i = 1, size do
    pieces[PIECES * i - 8] = (i == 1 and "[{" or '"},{') .. fields() .. ', "event_id": "'
    for j = PIECES * i - 7, PIECES * i do pieces[j] = "" end
  end
  pieces[PIECES * size + 1] = '"}]'
  return pieces
end

local function identified(pieces)
  local random = math.random
  for i = 2, PIECES * size, PIECES do
    pieces[i], pieces[i + 1], pieces[i + 2] = hex[random(65536)], hex_dash[random(65536)], hex_dash[random(65536)]
    pieces[i + 3], pieces[i + 4] = version_dash[random(4096)], variant_dash[random(16384)]
    pieces[i + 5], pieces[i + 6], pieces[i + 7] = hex[random(65536)], hex[random(65536)], hex[random(65536)]
  end
  return table.concat(pieces)
end

local function prepare_hex()
  for i = 1, 65536 do
    hex[i] = string.format("%04x", i - 1)
    hex_dash[i] = hex[i] .. "-"
  end
  for i = 1, 4096 do version_dash[i] = string.format("4%03x-", i - 1) end
  for i = 1, 16384 do variant_dash[i] = string.format("%04x-", 0x8000 + i - 1) end
end

function init(arguments)
  kind, size, users, key = arguments[1], tonumber(arguments[2]), tonumber(arguments[3]), arguments[4]
  math.randomseed(tonumber(arguments[5]))
  wrk.headers["X-Forwarded-Proto"] = "https"
  if key and key ~= "" then wrk.headers["Authorization"] = "Api-Key " .. key end
  if kind == "get" then return end
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  if kind == "identified" then prepare_hex() end
  for i = 1, kind == "one" and 1000 or 20 do bodies[i] = kind == "identified" and template() or body() end
end

function request()
  if kind == "get" then
    return wrk.format(nil, "/api/user-segments/" .. math.random(users) .. "/recommendation")
  end
  local chosen = bodies[math.random(#bodies)]
  return wrk.format(nil, nil, nil, kind == "identified" and identified(chosen) or chosen)
end

function done(summary, latency)
  local e = summary.errors
  print(string.format('{"requests": %d, "seconds": %.6f, "mean": %.6f, "p50": %.3f, "p99": %.3f, "wrong": %d, "broken": %d}',
    summary.requests, summary.duration / 1e6, latency.mean / 1e6, latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    e.status, e.connect + e.read + e.write + e.timeout))
end
