--- Lines of the node's log: a text and fields.

local sys = require 'perilune.core.sys'
local check = require 'perilune.check'

---@class perilune.Logger
---@field package fields table<string, any>
local Logger = {}
Logger.__index = Logger

---@alias perilune.log.Sink fun(level: string, text: string, fields: table<string, any>)

-- Where lines go instead of the node's log.
---@type perilune.log.Sink?
local sink

--- `fields` over those of the context.
local function join(context, fields)
  local joined = {}
  for key, value in pairs(context) do joined[key] = value end
  for key, value in pairs(fields or {}) do joined[key] = value end
  return joined
end

local function write(logger, level, text, fields)
  fields = join(logger.fields, fields)
  if sink then
    local ok, err = pcall(sink, level, text, fields)
    if ok then return end
    sys.log('error', 'log sink', { error = tostring(err) })
  end
  sys.log(level, text, fields)
end

-- A logger's functions need no self: `log.info('text')` reads as it should, also of a child.
local function make(context)
  local logger = setmetatable({ fields = context }, Logger)
  for _, level in ipairs { 'debug', 'info', 'warn', 'error' } do
    local name = 'log.' .. level
    logger[level] = function(text, fields)
      check.arg(text, 'string', 1, name)
      check.arg(fields, '?table', 2, name)
      if sink or sys.log_enabled(level) then write(logger, level, text, fields) end
    end
  end
  --- A logger whose lines carry these fields too.
  function logger.with(fields)
    check.arg(fields, 'table', 1, 'log.with')
    return make(join(logger.fields, fields))
  end
  return logger
end

---@class perilune.log: perilune.Logger
---@field debug fun(text: string, fields: table<string, any>?)
---@field info fun(text: string, fields: table<string, any>?)
---@field warn fun(text: string, fields: table<string, any>?)
---@field error fun(text: string, fields: table<string, any>?)
---@field with fun(fields: table<string, any>): perilune.log
local M = make {}

--- Sends the lines of this script to a function instead, of every level; nil ends that. A sink that raises is
--- reported in the node's log, and so is the line.
---
---@param fn perilune.log.Sink?
function M.set_sink(fn)
  check.arg(fn, '?function', 1, 'log.set_sink')
  sink = fn
end

return M
