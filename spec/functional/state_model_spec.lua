--- mesh.state under random work of three VMs, held against a plain table.

local cluster = require 'spec.support.cluster'
local process = require 'spec.support.process'

-- luacheck: globals mesh works

--- A script that does what its caller sends it, for as long as the stream lasts.
local function worker()
  local does = {}
  local state = mesh.state

  function does.get(op) return state[op.key] end
  function does.write(op) state[op.key] = op.value end
  function does.set(op) state:set(op.key, op.value, op.ttl and { ttl = op.ttl }) end
  function does.clear() state:clear() end
  function does.keys() return state:keys() end
  function does.cas(op) return state:cas(op.key, op.old, op.value) end

  function does.incr(op)
    local ok, sum = pcall(state.incr, state, op.key, op.by)
    return ok and sum or 'refused'
  end

  function does.append(op)
    return state:update(op.key, function(old)
      local list = type(old) == 'table' and old or { old }
      list[#list + 1] = op.value
      return list
    end)
  end

  function does.pairs()
    local seen = {}
    for name, value in pairs(state) do seen[#seen + 1] = { name, value } end
    return seen
  end

  mesh.action('work', function()
    for op in mesh.input() do coroutine.yield(does[op.kind](op)) end
  end)
end

local Model = {}
Model.__index = Model

local function copy(value)
  if type(value) ~= 'table' then return value end
  local t = {}
  for k, v in pairs(value) do t[k] = copy(v) end
  return t
end

local function same(a, b)
  if type(a) ~= 'table' or type(b) ~= 'table' then return a == b end
  for k, v in pairs(a) do
    if not same(v, b[k]) then return false end
  end
  for k in pairs(b) do
    if a[k] == nil then return false end
  end
  return true
end

function Model:expire()
  for i = #self.order, 1, -1 do
    local entry = self.entries[self.order[i]]
    if entry.expires <= self.now then self:put(self.order[i], nil) end
  end
end

function Model:put(key, value, expires)
  local entry = self.entries[key]
  if value == nil then
    if not entry then return end
    self.entries[key] = nil
    for i, name in ipairs(self.order) do
      if name == key then table.remove(self.order, i) break end
    end
  else
    if not entry then self.order[#self.order + 1] = key end
    self.entries[key] = { value = copy(value), expires = expires or entry and entry.expires or math.huge }
  end
end

function Model:get(key)
  local entry = self.entries[key]
  return entry and entry.value
end

local expects = {}

function expects.get(model, op) return model:get(op.key) end
function expects.write(model, op) model:put(op.key, op.value, math.huge) end
function expects.set(model, op) model:put(op.key, op.value, op.ttl and model.now + op.ttl or math.huge) end
function expects.clear(model) model.entries, model.order = {}, {} end
function expects.keys(model) return model.order end

function expects.cas(model, op)
  local equal = same(model:get(op.key), op.old)
  if equal then model:put(op.key, op.value) end
  return equal
end

function expects.incr(model, op)
  local old = model:get(op.key)
  if old ~= nil and type(old) ~= 'number' then return 'refused' end
  model:put(op.key, (old or 0) + op.by)
  return model:get(op.key)
end

function expects.append(model, op)
  local old = model:get(op.key)
  local list = type(old) == 'table' and copy(old) or { old }
  list[#list + 1] = op.value
  model:put(op.key, list)
  return list
end

function expects.pairs(model)
  local seen = {}
  for i, name in ipairs(model.order) do seen[i] = { name, model:get(name) } end
  return seen
end

function Model:step(op)
  self:expire()
  return expects[op.kind](self, op)
end

local KINDS = { 'get', 'get', 'get', 'write', 'write', 'set', 'incr', 'append', 'cas', 'keys', 'pairs', 'clear' }

local function value_of(random)
  local kind = random(5)
  if kind == 1 then return random(3) end
  if kind == 2 then return random(3) / 2 end
  if kind == 3 then return 'text' .. random(3) end
  if kind == 4 then return { random(3), random(3) } end
  return nil
end

local function operation(random, model)
  local op = { kind = KINDS[random(#KINDS)], key = 'k' .. random(6), value = value_of(random), by = random(3) / 2 }
  if op.kind == 'clear' and random(10) > 1 then op.kind = 'get' end
  if op.kind == 'set' and random(2) == 1 then op.ttl = random(5) end
  if op.kind == 'append' then op.value = random(9) end
  if op.kind == 'cas' then op.old = random(2) == 1 and copy(model:get(op.key)) or value_of(random) end
  return op
end

local STEPS, VMS = 1000, 3
local NEAR = 0.1 -- seconds around the end of a key in which nothing is asked

describe('the state of a script', function()
  it('is what a table would hold, whichever of three VMs works on it', function()
    local seed = tonumber(os.getenv 'PERILUNE_SPEC_SEED') or math.floor(process.now() * 1000) % 100000
    math.randomseed(seed)
    local net = cluster.new 'mem'
    local b = net:node('b', {}, worker)
    local a = net:node('a', { peers = { b } })
    -- Generations of the script live on while somebody works with them.
    for i = 1, VMS do
      a:eval(function()
        works = works or {}
        works[#works + 1] = mesh.stream 'work'
        works[#works]:send { kind = 'get', key = 'k' }
        return works[#works]:next()
      end)
      if i < VMS then assert.equal(i + 1, b:reloaded(worker).generation) end
    end

    local model = setmetatable({ entries = {}, order = {} }, Model)
    for i = 1, STEPS do
      if math.random(20) == 1 then net:advance(math.random()) end
      for _, entry in pairs(model.entries) do
        local left = entry.expires - net:now()
        if left > -NEAR and left < NEAR then net:advance(left + NEAR) end
      end
      model.now = net:now()
      local op = operation(math.random, model)
      local expected = model:step(op)
      local found = a:eval(function(which, what)
        works[which]:send(what)
        return select(2, works[which]:next())
      end, math.random(VMS), op)
      assert(same(found, expected), ('step %d of seed %d: %s of %s'):format(i, seed, op.kind, op.key))
    end
    a:eval(function()
      for _, work in ipairs(works) do work:finish() end
    end)
    net:finish()
  end)
end)
