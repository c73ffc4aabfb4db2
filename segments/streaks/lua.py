"""What Redis does in one atomic step. Each script is a pure function of its keys and arguments, safe to repeat.

For each user there are two keys: the streak, which anybody may write, and beside it our own note of what we know,
`last day:days` (days numbered as date.toordinal()). The streak expires at the end of the day after its last day, the
note a day later: while the streaks are complete, a user without a note had no action yesterday nor today.
"""

HEAD = """
local DAY = 86400000
local today, left = tonumber(ARGV[1]), tonumber(ARGV[2])  -- left: milliseconds to the end of today

local function parse(note)  -- as it stands, its last day and days; or '', and whether that is junk
  if note == false then return '' end
  local last, days = string.match(type(note) == 'string' and note or '', '^(%d+):(%d+)$')
  if not last then return '', nil, nil, true end
  return note, tonumber(last), tonumber(days)
end

local function known(key)
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

# KEYS: the mark of completeness, then streak and note of each user. ARGV: today, left, each user's new days, ascending.
# Returns for each user whom the notes cannot decide: his place (from 1) and his note; nothing is written for him.
COUNT = (
    HEAD
    + """
local found = redis.call('MGET', unpack(KEYS))  -- which has nothing for a key of another type
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

local function expires(streak, last)  -- a minute for what the clocks differ
  return math.abs(redis.call('PTTL', streak) - left - (last + 1 - today) * DAY) < 60000
end

-- Whether there is nothing to write.
local function stands(streak, value, was_last, was_days, last, days)
  return last == was_last and days == was_days and last and last >= today - 1 and value == tostring(days)
    and expires(streak, last)
end

-- The same for all but the day's first action, without taking the note apart: half of the script's time.
local function acted_today(streak, value, note, new)
  return value and new == ARGV[1] and note == new .. ':' .. value and string.find(value, '^[1-9]%d*$')
    and expires(streak, today)
end

local function keep(i, new)
  local streak, note, value = KEYS[2 * i], KEYS[2 * i + 1], found[2 * i]
  if acted_today(streak, value, found[2 * i + 1], new) then return end
  local was, was_last, was_days, junk = parse(found[2 * i + 1] or (redis.call('EXISTS', note) == 1 and {}))
  local decided, last, days = count(was_last, was_days, new)
  if not decided or junk then
    undecided[#undecided + 1] = {i, was}
  elseif not stands(streak, value, was_last, was_days, last, days) then
    write(streak, note, last, days)
  end
end

for i = 1, #ARGV - 2 do keep(i, ARGV[i + 2]) end
return undecided
"""
)

# KEYS: streak and note of each user. ARGV: today, left, and for each user the note before the database was asked, and
# the last day and days that it told (0 0: none). Returns place and note of each whose note has changed in between.
WRITE_IF_UNCHANGED = (
    HEAD
    + """
local changed = {}
for i = 1, #KEYS / 2 do
  local streak, note = KEYS[2 * i - 1], KEYS[2 * i]
  local was, last, days = ARGV[3 * i], tonumber(ARGV[3 * i + 1]), ARGV[3 * i + 2]
  local is = known(note)
  if is == was then
    write(streak, note, last > 0 and last or nil, days)
  else
    changed[#changed + 1] = {i, is}
  end
end
return changed
"""
)

# The same for a rebuild, which asked the database before it knew whose notes to read: ARGV has no notes. Days are only
# ever added, so a later and longer streak than the database told was written meanwhile: place and note of each.
RESTORE = (
    HEAD
    + """
local newer = {}
for i = 1, #KEYS / 2 do
  local streak, note = KEYS[2 * i - 1], KEYS[2 * i]
  local last, days = tonumber(ARGV[2 * i + 1]), tonumber(ARGV[2 * i + 2])
  local is, is_last, is_days = known(note)
  if is_last and (is_last > last or (is_last == last and is_days > days)) then
    newer[#newer + 1] = {i, is}
  else
    write(streak, note, last, days)
  end
end
return newer
"""
)

# KEYS: the mark of completeness, then streak and note of each user. Returns whether the mark is there, then the streak
# ('(hash)' and the like for another type) and the note of each.
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

# KEYS: the mark. A server that was restarted or replaced may have lost writes: its streaks are not complete.
CHECK = """
local mark = redis.call('GET', KEYS[1])
if not mark then return 0 end
local server = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
if mark == server then return 1 end
redis.call('DEL', KEYS[1])
return -1
"""

# KEYS: the mark, the lock of the rebuild. ARGV: the lock's token. Redis lost data meanwhile when the lock is gone.
COMPLETE = """
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], string.match(redis.call('INFO', 'server'), 'run_id:(%w+)'))
redis.call('DEL', KEYS[2])
return 1
"""
