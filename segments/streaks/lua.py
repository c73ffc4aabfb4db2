"""The Lua scripts of the streaks. Each is atomic, depends on its keys and arguments only, and is safe to repeat.

Each user has two keys: the streak, which other systems may write too, and a note with our own value of it,
`last day:days` (days numbered as by date.toordinal()). The streak expires at the end of the day after its last day, the
note a day later: while the streaks are complete, a user without a note had no action yesterday or today.
"""

HEAD = """
local DAY = 86400000
local today, left = tonumber(ARGV[1]), tonumber(ARGV[2])  -- left: milliseconds to the end of today

local function parse(note)  -- returns the note, its last day and days; for an invalid one '', nil, nil, true
  if note == false then return '' end
  local last, days = string.match(type(note) == 'string' and note or '', '^(%d+):(%d+)$')
  if not last then return '', nil, nil, true end
  return note, tonumber(last), tonumber(days)
end

local function read_note(key)
  return parse(redis.pcall('GET', key))
end

local function write(streak, note, last, days)
  if last and last >= today - 1 then
    redis.call('SET', streak, days, 'PX', left + (last + 1 - today) * DAY)
  else
    redis.call('DEL', streak)
  end
  if last and last >= today - 2 then
    redis.call('SET', note, last .. ':' .. days, 'PX', left + (last + 2 - today) * DAY)
  else
    redis.call('DEL', note)
  end
end
"""

# KEYS: the completeness mark, then streak and note of each user. ARGV: today, left, each user's new days, ascending.
# Returns index (from 1) and note of each user whose streak the note does not determine; it is not written.
COUNT = (
    HEAD
    + """
local found = redis.call('MGET', unpack(KEYS))  -- false for a key of another type
local complete = found[1] ~= false
local undecided = {}

local function count(last, days, new)
  for day in string.gmatch(new, '%d+') do
    day = tonumber(day)
    if not last then
      if not complete or day == today - 1 then return false end
      if day >= today then last, days = day, 1 end
    elseif day == last + 1 then
      last, days = day, days + 1
    elseif day > last or day == last - days then
      return false
    end
  end
  return true, last, days
end

local function expires_on_time(streak, last)  -- with a minute for the difference of the clocks
  return math.abs(redis.call('PTTL', streak) - left - (last + 1 - today) * DAY) < 60000
end

-- Whether there is nothing to write.
local function is_current(streak, value, was_last, was_days, last, days)
  return last == was_last and days == was_days and last and last >= today - 1 and value == tostring(days)
    and expires_on_time(streak, last)
end

-- The same for all but the first action of a day, without parsing the note: this halves the script's time.
local function acted_today(streak, value, note, new)
  return value and new == ARGV[1] and note == new .. ':' .. value and string.find(value, '^[1-9]%d*$')
    and expires_on_time(streak, today)
end

local function update(i, new)
  local streak, note, value = KEYS[2 * i], KEYS[2 * i + 1], found[2 * i]
  if acted_today(streak, value, found[2 * i + 1], new) then return end
  local was, was_last, was_days, invalid = parse(found[2 * i + 1] or (redis.call('EXISTS', note) == 1 and {}))
  local decided, last, days = count(was_last, was_days, new)
  if not decided or invalid then
    undecided[#undecided + 1] = {i, was}
  elseif not is_current(streak, value, was_last, was_days, last, days) then
    write(streak, note, last, days)
  end
end

for i = 1, #ARGV - 2 do update(i, ARGV[i + 2]) end
return undecided
"""
)

# KEYS: streak and note of each user. ARGV: today, left, and for each user the note as read before the database query,
# then the last day and days found (0 0: none). Returns index and note of each user whose note has changed in between.
WRITE_IF_UNCHANGED = (
    HEAD
    + """
local changed = {}
for i = 1, #KEYS / 2 do
  local streak, note = KEYS[2 * i - 1], KEYS[2 * i]
  local was, last, days = ARGV[3 * i], tonumber(ARGV[3 * i + 1]), ARGV[3 * i + 2]
  local is = read_note(note)
  if is == was then
    write(streak, note, last > 0 and last or nil, days)
  else
    changed[#changed + 1] = {i, is}
  end
end
return changed
"""
)

# The same for a rebuild, which queries the database before it knows whose notes to read: ARGV has no notes. Days are
# only ever added, so a later or longer streak than that was written meanwhile: returns index and note of each.
RESTORE = (
    HEAD
    + """
local newer = {}
for i = 1, #KEYS / 2 do
  local streak, note = KEYS[2 * i - 1], KEYS[2 * i]
  local last, days = tonumber(ARGV[2 * i + 1]), tonumber(ARGV[2 * i + 2])
  local is, is_last, is_days = read_note(note)
  if is_last and (is_last > last or (is_last == last and is_days > days)) then
    newer[#newer + 1] = {i, is}
  else
    write(streak, note, last, days)
  end
end
return newer
"""
)

# KEYS: the completeness mark, then streak and note of each user. Returns whether the mark exists, then each user's
# streak ('(hash)' and the like for a key of another type) and note.
READ = """
local found = {redis.call('EXISTS', KEYS[1])}
for i = 2, #KEYS do
  found[i] = redis.pcall('GET', KEYS[i])
  if type(found[i]) == 'table' then
    found[i] = i % 2 == 0 and '(' .. redis.call('TYPE', KEYS[i]).ok .. ')'
  end
end
return found
"""

# A server that knows this script by its digest has not been restarted or replaced since the script ran there.
SINCE = "return '%s'"

# KEYS: the completeness mark. ARGV: its value. A server that was restarted or replaced may have lost writes.
DELETE_MARK = """
return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1]) or 0
"""

# KEYS: the completeness mark, the lock of the rebuild. ARGV: the lock's token. A missing lock: Redis lost data.
MARK_COMPLETE = """
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[2])
return 1
"""
