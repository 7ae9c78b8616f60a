--- Who of several providers takes a call: the options of mesh.with that say so, checked and brought into one form.

local M = {}

local STRATEGIES = { 'least', 'round_robin', 'random', 'weighted', 'p2c', 'hash', 'local' }
local RETRIES_MAX = 16
local LIST_MAX = 64

local known = {}
for _, name in ipairs(STRATEGIES) do
  known[name] = true
end

-- A `level` is that of `error` in the function that has it: its own line is 1.

local function fail(level, text, ...) error(text:format(...), level) end

--- Raises at `level` unless `name` is a strategy.
function M.check_strategy(name, owner, level)
  if not known[name] then
    fail(level + 1, "option 'strategy' of %s: %q is none of %s", owner, name, table.concat(STRATEGIES, ', '))
  end
end

--- A list of strings out of one, or out of a list; a copy.
local function texts(value, what, level)
  if type(value) == 'string' then return { value } end
  if type(value) ~= 'table' then fail(level + 1, "option '%s' of mesh.with: a list of strings expected", what) end
  local list = {}
  for i, text in ipairs(value) do
    if type(text) ~= 'string' then
      fail(level + 1, "option '%s' of mesh.with: [%d] is a %s, not a string", what, i, type(text))
    end
    list[i] = text
  end
  if #list == 0 then fail(level + 1, "option '%s' of mesh.with: the list is empty", what) end
  if #list > LIST_MAX then fail(level + 1, "option '%s' of mesh.with: more than %d", what, LIST_MAX) end
  return list
end

local function regions_of(prefer, level)
  for key in pairs(prefer) do
    if key ~= 'region' then fail(level + 1, "option 'prefer' of mesh.with: unknown preference '%s'", tostring(key)) end
  end
  if prefer.region == nil then return nil end
  return texts(prefer.region, 'prefer.region', level + 1)
end

--- What core.caller takes: a policy, or nil, and a function that chooses, or nil. Wrong options raise at `level`.
---
---@param options table of mesh.with; types are checked
---@param providers string[]?
function M.policy(options, providers, level)
  local strategy, chooser = options.strategy, nil
  if type(strategy) == 'function' then
    strategy, chooser = nil, strategy
  elseif strategy ~= nil then
    M.check_strategy(strategy, 'mesh.with', level + 1)
  end
  local key = options.key
  if key ~= nil and type(key) ~= 'string' and type(key) ~= 'number' then
    fail(level + 1, "option 'key' of mesh.with: a string or number expected, got %s", type(key))
  end
  if options.retries and options.retries > RETRIES_MAX then
    fail(level + 1, "option 'retries' of mesh.with: more than %d", RETRIES_MAX)
  end
  local policy = {
    strategy = strategy,
    key = key ~= nil and tostring(key) or nil,
    regions = options.prefer and regions_of(options.prefer, level + 1) or nil,
    providers = providers,
    retries = options.retries,
  }
  return next(policy) ~= nil and policy or nil, chooser
end

local function as_lua_pattern(pattern)
  return '^' .. pattern:gsub('[%^%$%(%)%%%.%[%]%+%-%?]', '%%%0'):gsub('%*', '.*') .. '$'
end

--- Routes: the providers of an action by the longest of the patterns that match its name.
---
---@class perilune.Routes
local Routes = {}
Routes.__index = Routes

--- The list of providers for an action; nil: any.
---
---@param action string
---@return string[]?
function Routes:find(action)
  for _, route in ipairs(self) do
    if route.pattern == action or action:find(route.lua) then return route.providers end
  end
end

--- Out of the option `providers`: one list for all actions, or a table of lists by pattern of their names.
---
---@return perilune.Routes
function M.routes(providers, level)
  if providers == nil then return setmetatable({}, Routes) end
  if type(providers) == 'string' or (type(providers) == 'table' and #providers > 0) then
    return setmetatable({ { lua = '', providers = texts(providers, 'providers', level + 1) } }, Routes)
  end
  if type(providers) ~= 'table' or next(providers) == nil then
    fail(level + 1, "option 'providers' of mesh.with: a list of names, or lists by patterns of actions expected")
  end
  local routes = {}
  for pattern, list in pairs(providers) do
    if type(pattern) ~= 'string' then fail(level + 1, "option 'providers' of mesh.with: names of actions expected") end
    routes[#routes + 1] = {
      pattern = pattern,
      lua = as_lua_pattern(pattern),
      providers = texts(list, ('providers[%q]'):format(pattern), level + 1),
    }
  end
  table.sort(routes, function(a, b)
    if #a.pattern ~= #b.pattern then return #a.pattern > #b.pattern end
    return a.pattern < b.pattern
  end)
  return setmetatable(routes, Routes)
end

return M
