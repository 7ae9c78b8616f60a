--- Run by spec/functional/api_spec.lua in a node: prints how the table of the API and the running modules differ.

local api = require 'perilune.api'
local check = require 'perilune.check'
local mesh = require 'perilune'

-- What is there and not for scripts.
local INTERNAL = {
  ['perilune.log.fields'] = true,
  ['perilune.sim.Net:add'] = true,
  ['perilune.sim.Net:before_end'] = true,
  ['perilune.sim.Net:on_node'] = true,
}

local function compare(what, declared, live)
  for name in pairs(declared) do
    if not live[name] then print(('%s: the table has %s, the runtime has not'):format(what, name)) end
  end
  for name in pairs(live) do
    if not declared[name] and not INTERNAL[what .. '.' .. name] and not INTERNAL[what .. ':' .. name] then
      print(('%s: the runtime has %s, the table has not'):format(what, name))
    end
  end
end

local function names_of(...)
  local names = {}
  for _, list in ipairs { ... } do
    for _, row in ipairs(list) do names[row.name or row[1]] = true end
  end
  names['[string]'] = nil
  return names
end

--- The types of the fields of that name.
local function names_in(fields, name)
  local list = {}
  for _, field in ipairs(fields) do list[#list + 1] = field[1] == name and field[2] or nil end
  return list
end

local function exports_of(module)
  local names = {}
  for name, value in pairs(module) do
    if type(value) == 'table' and debug.getmetatable(value) == nil and next(value) then
      for inner in pairs(value) do names[name .. '.' .. inner] = true end
    else
      names[name] = true
    end
  end
  return names
end

local classes = {}

for _, module in ipairs(api.modules()) do
  if not module.is_function then
    compare(module.name, names_of(module.values, module.functions), exports_of(require(module.name)))
  end
  for _, class in ipairs(module.classes) do classes[class.name] = class end
end

-- Handles: their methods, and the fields of what is a plain table.

local function functions_in(t)
  local names = {}
  for name, value in pairs(t) do
    if type(value) == 'function' and not name:find '^_' then names[name] = true end
  end
  return names
end

local function upvalue(fn, wanted)
  for i = 1, math.huge do
    local name, value = debug.getupvalue(fn, i)
    if not name then error('no upvalue ' .. wanted) end
    if name == wanted then return value end
  end
end

local seen = {}

local function handle(name, methods)
  seen[name] = true
  compare(name, names_of(classes[name].methods or {}), functions_in(methods))
end

local function index_of(value) return debug.getmetatable(value).__index end

--- Fields that may be nil are not always there; others are. `extra` are those that only other kinds of the value have.
local function record(name, value)
  seen[name] = true
  local declared, live = {}, {}
  for field in pairs(value) do live[field] = true end
  for _, field in ipairs(classes[name].fields) do
    local may_miss = field[2]:find '%?$' or field[2] == 'any'
    if live[field[1]] or not may_miss then declared[field[1]] = true end
  end
  compare(name, declared, live)
end

local task = mesh.spawn(function() end)
seen['perilune.Task'] = true
for _, method in ipairs(classes['perilune.Task'].methods) do
  if type(task[method.name]) ~= 'function' then print('perilune.Task: no ' .. method.name) end
end

mesh.action('context', function() return mesh.context() end)
local stream <close> = mesh.stream 'context'
handle('perilune.Stream', index_of(stream))
mesh.action('methods', function() handle('perilune.Input', index_of((mesh.input()))) end)
mesh.call 'methods'
for _, methods in pairs(debug.getmetatable(mesh.state)) do
  if type(methods) == 'table' then handle('perilune.State', methods) end
end
mesh.scope(function(scope) handle('perilune.Scope', index_of(scope)) end)

mesh.action('endless', function()
  while true do coroutine.yield(1) end
end)
local open <close> = mesh.stream 'endless'
open:next()
local monitor <close> = mesh.monitor(function() end)
handle('perilune.Monitor', index_of(monitor))
local events <close> = require 'perilune.core.monitor'.open() -- the functions of others begin when all is loaded
mesh.call 'context'
events:next()
record('perilune.Event', events:next())
record('perilune.OpenStream', mesh.streams()[1])
record('perilune.Self', mesh.self())
record('perilune.Context', mesh.call 'context')
record('perilune.Node', mesh.nodes()[1])
record('perilune.Action', mesh.actions()[1])
record('perilune.Description', mesh.describe 'context')
handle('perilune.Member', index_of(mesh.proxy 'any'.member))
seen['perilune.Proxy'] = true
record('perilune.Caller', mesh.with { timeout = 1 })
local explained = mesh.explain 'context'
record('perilune.Explanation', explained)
record('perilune.Candidate', explained.candidates[1])
mesh.action('fail', function() error { code = 'MINE', message = 'no', details = 1, retry_after = 1 } end)
mesh.action('outer', function() mesh.call 'fail' end)
record('perilune.Error', select(2, pcall(mesh.call, 'outer')))

local fs = require 'perilune.fs'
local test = require 'perilune.test'
local dir <close> = test.temp_dir { ['a.txt'] = 'a' }
handle('perilune.test.TempDir', index_of(dir))
local path = dir.path .. '/a.txt'
local file <close> = fs.open(path)
handle('perilune.File', index_of(file))
local watcher <close> = fs.watch(dir.path)
handle('perilune.fs.Watcher', index_of(watcher))
record('perilune.fs.Stat', fs.stat(path))
local source <close> = require 'perilune.files'.blocks(path)
handle('perilune.files.Source', index_of(source))
handle('perilune.Hasher', index_of(require 'perilune.crypto'.hasher()))
local process = require 'perilune.process'
local child <close> = process.spawn 'true'
handle('perilune.Process', index_of(child))
handle('perilune.process.Input', index_of(child.stdin))
handle('perilune.process.Output', index_of(child.stdout))
record('perilune.process.Result', process.run 'true')
record('perilune.Url', require 'perilune.url'.parse 'a://u:p@b:1/c?d#e')
local logger = require 'perilune.log'.with { a = 1 }
logger.fields = nil
record('perilune.Logger', logger)
handle('perilune.test.Fake', index_of(require('perilune.test.fakes').put 'faked'))

local net <close> = mesh.sim { nodes = 2 }
handle('perilune.sim.Net', upvalue(index_of(net), 'Net'))
handle('perilune.sim.Node', index_of(net.n1))
handle('perilune.sim.Task', index_of(net.n1:start 'return 1'))
handle('perilune.sim.Fake', index_of(net.n1:fake('faked', 1)))
record('perilune.Route', net.n1:eval "return require('perilune').routes()[1]")

-- Options: what a function checks them against is caught on its way.

local STOP = {}
local caught

local function keys_of_type(text)
  local class = classes[text:gsub('%?$', '')]
  if class then return names_of(class.fields), class.name end
  local names = {}
  for name in text:gmatch '([%w_]+)%s*:' do names[name] = true end
  return names
end

local arg, options_of = check.arg, check.options
local function catch(_, schema)
  caught = {}
  for name, kind in pairs(schema) do
    if kind ~= 'later' then caught[name] = true end
  end
  error(STOP)
end

local OF_C = { ['perilune.node'] = true, ['perilune.State:set'] = true }
local checked = 0

local function check_options(what, fn, params, is_method)
  local args, wanted = is_method and { {} } or {}, nil
  for _, param in ipairs(params or {}) do
    local is_options = param[1] == 'options'
    args[#args + 1] = is_options and {} or 'true'
    if is_options then wanted = param[2] end
  end
  if not wanted or OF_C[what] then return end
  local declared, class = keys_of_type(wanted)
  caught, check.arg, check.options = nil, function() end, catch
  pcall(fn, table.unpack(args))
  check.arg, check.options = arg, options_of
  if not caught then return print(what .. ': its options are not checked') end
  if class then seen[class] = true end
  checked = checked + 1
  compare('options of ' .. what, declared, caught)
end

local function field_at(module, name)
  for part in name:gmatch '[^.]+' do module = module[part] end
  return module
end

for _, module in ipairs(api.modules()) do
  for _, fn in ipairs(module.functions) do
    check_options(module.name .. '.' .. fn.name, field_at(require(module.name), fn.name), fn.params)
  end
end
for name, object in pairs {
  ['perilune.Hasher'] = index_of(require 'perilune.crypto'.hasher()),
  ['perilune.sim.Net'] = upvalue(index_of(net), 'Net'),
  ['perilune.sim.Node'] = index_of(net.n1),
} do
  for _, method in ipairs(classes[name].methods) do
    check_options(name .. ':' .. method.name, object[method.name], method.params, true)
  end
end

--- Every function and method says what it does.
local function check_texts(what, list)
  for _, fn in ipairs(list or {}) do
    if not tostring(fn.text):find '%.$' then print(('%s: no text of %s'):format(what, fn.name)) end
  end
end

for _, module in ipairs(api.modules()) do check_texts(module.name, module.functions) end
for name, class in pairs(classes) do check_texts(name, class.methods) end

for _, field in ipairs(classes['perilune.CallOptions'].fields) do
  for strategy in (field[1] == 'strategy' and field[2] or ''):gmatch "'([%l%d_]+)'" do
    local ok, why = pcall(mesh.with, { strategy = strategy })
    if not ok then print(why) end
  end
end
local _, refusal = pcall(mesh.with, { strategy = 'none' })
for strategy in refusal:match 'none of (.*)':gmatch '[%l%d_]+' do
  local text = table.concat(names_in(classes['perilune.CallOptions'].fields, 'strategy'))
  if not text:find("'" .. strategy .. "'", 1, true) then print('the table has no strategy ' .. strategy) end
end

local node_options = {}
for name in pairs(mesh.options()) do node_options[name] = true end
compare('perilune.NodeOptions', names_of(classes['perilune.NodeOptions'].fields), node_options)
seen['perilune.NodeOptions'] = true

-- Seen by other specs: what a reload and a change of a file give.
seen['perilune.Reloaded'], seen['perilune.fs.Change'] = true, true
for name in pairs(classes) do
  if not seen[name] then print('nothing was compared with ' .. name) end
end
print(('%d options compared'):format(checked))
os.exit(0)
