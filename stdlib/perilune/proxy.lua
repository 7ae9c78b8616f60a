--- mesh.proxy: the actions whose names begin alike, as functions of a table.

local callers = require 'perilune.callers'
local calls = require 'perilune.core.call'
local check = require 'perilune.check'
local describe = require 'perilune.describe'
local errors = require 'perilune.core.error'
local guess = require('perilune.core.sys').guess
local nodes = require 'perilune.core.node'

local M = {}

local _, _, known_providers = calls.caller()

---@class perilune.Member An action of a proxy.
local Member = {}

-- What a member is: its fields are no fields of its table, which has methods only.
local inner = setmetatable({}, { __mode = 'k' })

--- What a proxy of this prefix has.
local function members(prefix)
  local names = {}
  for _, offer in ipairs(nodes.offers()) do
    if offer.name:sub(1, #prefix) == prefix then names[#names + 1] = offer.name end
  end
  return names
end

--- Raises at the line that used the member when nobody provides it.
local function refuse(own)
  local names = members(own.prefix)
  local meant = guess(own.action, names)
  local hint = meant and ("; did you mean '%s'?"):format(meant)
    or #names > 0 and ('; there are %d others in %s*'):format(#names, own.prefix)
    or ("; nor anything else in %s*: mesh.wait '%s' waits for it"):format(own.prefix, own.action)
  local _, where = pcall(error, '', 5)
  error(errors.new {
    code = 'NOT_FOUND',
    outcome = 'not_sent',
    action = own.action,
    message = ("%sno node provides '%s'%s"):format(where, own.action, hint),
  }, 0)
end

--- The member, once the mesh is known to have it. One that was there once is not looked for again.
local function get(member)
  local own = inner[member] or error('a method of a proxy is called with a colon: calc.add:stream(…)', 3)
  if own.known then return own end
  nodes.start()
  own.known = own.patient or #known_providers(own.action).candidates > 0
  if not own.known then refuse(own) end
  return own
end

function Member:__call(...)
  local own = get(self)
  return own.caller.call(own.action, ...)
end

function Member:__tostring() return ("action '%s'"):format(inner[self].action) end

Member.__index = {}

--- As mesh.stream: `for n in calc.count:stream(10) do`.
---
---@param ... any
---@return perilune.Stream stream, nil, nil, perilune.Stream closing
function Member.__index:stream(...)
  local own = get(self)
  return own.caller.stream(own.action, ...)
end

--- As mesh.explain.
---
---@param ... any
---@return perilune.Explanation
function Member.__index:explain(...)
  local own = get(self)
  return own.caller.explain(own.action, ...)
end

--- As mesh.describe.
---
---@return perilune.Description
function Member.__index:describe()
  local own = get(self)
  return describe.describe(own.action, { node = own.node })
end

local function new_member(prefix, name, options, caller)
  local member = setmetatable({}, Member)
  inner[member] = {
    action = prefix .. name, prefix = prefix, caller = caller, patient = options.wait ~= nil, node = options.node,
  }
  return member
end

--- The actions whose names begin with `name` and a dot, as functions: `mesh.proxy 'calc'.add(1, 2)` calls `calc.add`.
---
---@param name string
---@param options perilune.CallOptions? Of all calls, as of mesh.with.
---@return perilune.Proxy
function M.proxy(name, options)
  check.arg(name, 'bytes', 1, 'mesh.proxy')
  if name:find('@', 1, true) then
    error("mesh.proxy: services with versions ('calculator@^1.0') are not available in this version", 2)
  end
  if name == '' or name:find '%c' or name:find '%.$' then
    error("mesh.proxy: the name of actions up to their last dot is expected, as 'calc' for 'calc.add'", 2)
  end
  options = check.options(options, callers.options, 2, 'mesh.proxy')
  local caller = callers.made(options, 3)
  local prefix = name .. '.'
  return setmetatable({}, {
    __index = function(self, key)
      if type(key) ~= 'string' then
        error(("a proxy has actions by name, '%s' has none for a %s"):format(name, type(key)), 2)
      end
      local member = new_member(prefix, key, options, caller)
      rawset(self, key, member)
      return member
    end,
    __newindex = function(_, key)
      error(("'%s%s' is an action of others: a proxy is not written to"):format(prefix, tostring(key)), 2)
    end,
    __tostring = function() return ("proxy of '%s'"):format(name) end,
  })
end

return M
