--- Actions that stand for others: they answer as a spec wants, and keep their calls.

local mesh = require 'perilune'

local M = {}

---@class perilune.test.Fake
---@field name string
local Fake = {}
Fake.__index = Fake

local open = {} -- those of this script, oldest first

--- The arguments of each call so far, oldest first; a nil among them is mesh.null.
---
---@return any[][]
function Fake:calls() return self.record end

local function top(name)
  for i = #open, 1, -1 do
    if open[i].name == name then return open[i] end
  end
end

local function provides(name)
  local id = mesh.self().id
  for _, entry in ipairs(mesh.actions()) do
    if entry.name == name then
      for _, provider in ipairs(entry.providers) do
        if provider.id == id then return true end
      end
    end
  end
  return false
end

local function recorded(...)
  local call = table.pack(...)
  for i = 1, call.n do
    if call[i] == nil then call[i] = mesh.null end
  end
  call.n = nil
  return mesh.array(call)
end

--- What the action that it stands for says of its values, if somebody provides it now: nothing else may come of a fake.
local function schemas_of(name)
  local ok, told = pcall(mesh.describe, name)
  if not ok then return nil end
  return { params = told.params, returns = told.returns, chunks = told.chunks }
end

local function handler_of(record, fn, values)
  return function(...)
    record[#record + 1] = recorded(...)
    if fn then return fn(...) end
    return table.unpack(values, 1, values.n)
  end
end

--- Provides the action from now on.
---
---@param name string
---@param ... any A function, or the values that each call returns.
---@return perilune.test.Fake
function M.put(name, ...)
  if not top(name) and provides(name) then
    error(("fake: this script provides '%s' itself; a fake stands for an action of others"):format(name), 3)
  end
  local fn = type((...)) == 'function' and (...) or nil
  local record = mesh.array {}
  local fake = setmetatable({ name = name, record = record, schemas = schemas_of(name) }, Fake)
  fake.handler = handler_of(record, fn, not fn and table.pack(...))
  mesh.action(name, fake.handler, fake.schemas)
  open[#open + 1] = fake
  return fake
end

--- The calls of the fake of that name.
function M.calls(name) return top(name):calls() end

--- How many there are.
function M.mark() return #open end

--- Takes away those that were made after the mark; what they stood before is back.
function M.remove(mark)
  while #open > mark do
    local fake = table.remove(open)
    local earlier = top(fake.name)
    if earlier then mesh.action(fake.name, earlier.handler, earlier.schemas) else mesh.remove(fake.name) end
  end
end

return M
