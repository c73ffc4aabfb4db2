-- wrk's script: KIND (one, list, get), LIST SIZE, USERS, KEY ("" for none). Prints one line of JSON at the end.
local kind, size, users, key
local bodies = {}

local function action()
  return string.format('{"user_id": %d, "action_type": "purchase", "value": "%d.%02d"}',
    math.random(users), math.random(0, 99), math.random(0, 99))
end

local function body()
  if kind == "one" then return action() end
  local items = {}
  for i = 1, size do items[i] = action() end
  return "[" .. table.concat(items, ",") .. "]"
end

function init(arguments)
  kind, size, users, key = arguments[1], tonumber(arguments[2]), tonumber(arguments[3]), arguments[4]
  math.randomseed(tonumber(arguments[5]))
  wrk.headers["X-Forwarded-Proto"] = "https"
  if key and key ~= "" then wrk.headers["Authorization"] = "Api-Key " .. key end
  if kind == "get" then return end
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  for i = 1, kind == "one" and 1000 or 20 do bodies[i] = body() end
end

function request()
  if kind == "get" then
    return wrk.format(nil, "/api/user-segments/" .. math.random(users) .. "/recommendation")
  end
  return wrk.format(nil, nil, nil, bodies[math.random(#bodies)])
end

function done(summary, latency)
  local e = summary.errors
  print(string.format('{"requests": %d, "seconds": %.6f, "mean": %.6f, "p50": %.3f, "p99": %.3f, "wrong": %d, "broken": %d}',
    summary.requests, summary.duration / 1e6, latency.mean / 1e6, latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    e.status, e.connect + e.read + e.write + e.timeout))
end
