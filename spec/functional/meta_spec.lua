--- stdlib/perilune/_meta.lua names what C provides, no less and no more.

local process = require 'spec.support.process'

-- Prints a line a name that the running module has: "mesh.call", "Task:await", "perilune.Self.id".
local LIST = [[
local mesh = require 'perilune'

for name, value in pairs(mesh) do
  if type(value) == 'function' and debug.getinfo(value).what == 'C' then print('mesh.' .. name) end
end

local task = mesh.spawn(function() end)
for _, name in ipairs { 'await', 'cancel' } do
  if type(task[name]) == 'function' then print('Task:' .. name) end
end

mesh.action('context', function() return mesh.context() end)
local stream <close> = mesh.stream('context')
for name in pairs(debug.getmetatable(stream).__index) do print('Stream:' .. name) end

mesh.action('methods', function()
  for name in pairs(debug.getmetatable((mesh.input())).__index) do print('Input:' .. name) end
end)
mesh.call 'methods'

mesh.action('endless', function()
  while true do coroutine.yield(1) end
end)
local open <close> = mesh.stream 'endless'
open:next()
for name in pairs(mesh.streams()[1]) do print('perilune.OpenStream.' .. name) end

for _, methods in pairs(debug.getmetatable(mesh.state)) do
  if type(methods) == 'table' then
    for name in pairs(methods) do print('State:' .. name) end
  end
end

for name in pairs(mesh.self()) do print('perilune.Self.' .. name) end
for name in pairs(mesh.call('context')) do print('perilune.Context.' .. name) end

mesh.action('fail', function() error { code = 'MINE', message = 'no', details = 1, retry_after = 1 } end)
mesh.action('outer', function() mesh.call 'fail' end)
local _, err = pcall(mesh.call, 'outer')
for name in pairs(err) do print('perilune.Error.' .. name) end
os.exit(0)
]]

local function sorted(set)
  local names = {}
  for name in pairs(set) do names[#names + 1] = name end
  table.sort(names)
  return names
end

-- Of streams that pass through a node: spec/functional/stall_spec.lua sees those.
local OF_RELAYS = { ['perilune.OpenStream.to'] = true, ['perilune.OpenStream.to_name'] = true }

local function declared()
  local names, class = {}, nil
  for line in io.lines 'stdlib/perilune/_meta.lua' do
    class = line:match '^%-%-%-@class ([%w.]+)' or class
    local field = line:match '^%-%-%-@field ([%w_]+)'
    local fn = line:match '^function ([%w.:_]+)'
    if fn then names[fn] = true end
    -- Fields that Lua shows only one by one: a value, and a status.
    local is_shown = field and class ~= 'perilune' and class ~= 'perilune.Task' and not OF_RELAYS[class .. '.' .. field]
    if is_shown then names[class .. '.' .. field] = true end
  end
  return sorted(names)
end

describe('the annotations of what C provides', function()
  it('name what the module has', function()
    local dir = process.temp_dir { ['list.lua'] = LIST }
    local result = process.perilune_run('run', dir .. '/list.lua')
    assert.equal(0, result.code, result.stderr)
    local names = {}
    for name in result.stdout:gmatch '[^\n]+' do names[name] = true end
    assert.same(sorted(names), declared())
  end)
end)
