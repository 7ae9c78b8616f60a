--- Time of day as seconds since 1970, and as text.

local sys = require 'perilune.core.sys'
local errors = require 'perilune.core.error'
local check = require 'perilune.check'

local M = {}

--- The time of day in seconds since 1970, UTC, with a fraction.
---
---@return number
function M.now()
  return sys.now()
end

--- Seconds from an arbitrary start that only go forward: for durations.
---
---@return number
function M.monotonic()
  return sys.monotonic()
end

local ISO = '%Y-%m-%dT%H:%M:%S'

--- Writes a time as text: by default ISO 8601 in UTC, with milliseconds unless the time is whole.
---
---@param time number? Default: now.
---@param format string? As `os.date` takes it.
---@param options { zone: 'utc'|'local'|nil }? Default UTC.
---@return string
function M.format(time, format, options)
  check.arg(time, '?number', 1, 'time.format')
  check.arg(format, '?string', 2, 'time.format')
  options = check.options(options, { zone = 'string' }, 3, 'time.format')
  local zone = options.zone or 'utc'
  if zone ~= 'utc' and zone ~= 'local' then error("option 'zone' of time.format: 'utc' or 'local' expected", 2) end
  time = time or sys.now()
  local whole = time == math.floor(time)
  local milliseconds = not format and not whole and math.floor(time % 1 * 1000 + 0.5) or 0
  local seconds = math.tointeger(time // 1)
  if not seconds then error("bad argument #1 to 'time.format' (out of range)", 2) end
  if milliseconds == 1000 then seconds, milliseconds = seconds + 1, 0 end
  local ok, text = pcall(os.date, (zone == 'utc' and '!' or '') .. (format or ISO), seconds)
  if not ok then error(("bad argument #2 to 'time.format' (%s)"):format(text:match '%((.*)%)' or text), 2) end
  if format then return text end
  if not whole then text = ('%s.%03d'):format(text, milliseconds) end
  if zone == 'utc' then return text .. 'Z' end
  return text .. os.date('%z', seconds):gsub('(%d%d)$', ':%1')
end

--- Days from 1970-01-01 to a date of the Gregorian calendar.
local function days(year, month, day)
  if month <= 2 then year = year - 1 end
  local era = year // 400
  local of_era = year - era * 400
  local of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
  return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468
end

local function days_of(year, month)
  if month == 2 then return (year % 4 == 0 and (year % 100 ~= 0 or year % 400 == 0)) and 29 or 28 end
  return (month == 4 or month == 6 or month == 9 or month == 11) and 30 or 31
end

--- Seconds east of Greenwich of `Z`, `+hh:mm` or `-hhmm`; nil when it is none of them.
local function offset_of(text)
  if text == 'Z' or text == 'z' then return 0 end
  local sign, hours, minutes = text:match '^([+-])(%d%d):?(%d%d)$'
  if not sign or tonumber(hours) > 23 or tonumber(minutes) > 59 then return nil end
  local seconds = tonumber(hours) * 3600 + tonumber(minutes) * 60
  return sign == '-' and -seconds or seconds
end

--- Seconds of the day of `hh:mm:ss[.fraction]` and a zone; nil when it is not.
local function time_of_day(text)
  local hour, minute, second, rest = text:match '^[Tt ](%d%d):(%d%d):(%d%d)(.*)$'
  if not hour then return nil end
  local fraction, zone = rest:match '^[.,](%d+)(.*)$'
  local offset = offset_of(zone or rest)
  hour, minute, second = math.tointeger(hour), math.tointeger(minute), math.tointeger(second)
  -- A leap second is the first of the next minute.
  if not offset or hour > 23 or minute > 59 or second > 60 then return nil end
  local whole = hour * 3600 + minute * 60 + second - offset
  return fraction and whole + tonumber('0.' .. fraction) or whole
end

--- Reads an ISO 8601 time as RFC 3339 has it, `2026-01-02T03:04:05.678+01:00`, or a date alone (midnight UTC).
--- Anything else raises `INVALID`.
---
---@param text string
---@return number seconds Since 1970; an integer unless there is a fraction.
function M.parse(text)
  check.arg(text, 'string', 1, 'time.parse')
  local year, month, day, rest = text:match '^(%d%d%d%d)%-(%d%d)%-(%d%d)(.*)$'
  year, month, day = math.tointeger(year), math.tointeger(month), math.tointeger(day)
  local good = year and month >= 1 and month <= 12 and day >= 1 and day <= days_of(year, month)
  local seconds = good and (rest == '' and 0 or time_of_day(rest))
  if not seconds then
    error(errors.new {
      code = 'INVALID',
      outcome = 'not_executed',
      message = ("parse '%s': not an RFC 3339 time"):format(text:sub(1, 80)),
    }, 0)
  end
  return days(year, month, day) * 86400 + seconds
end

return M
