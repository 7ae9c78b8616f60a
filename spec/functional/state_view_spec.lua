--- Tables that were read from `mesh.state`: views of what is stored.

local cluster = require 'spec.support.cluster'

-- luacheck: globals mesh

describe('tables in mesh.state', function()
  local net, node

  before_each(function()
    net = cluster.new 'mem'
    node = net:node('a', {})
  end)

  after_each(function() net:finish() end)

  local function eval(code, ...) return node:eval(code, ...) end

  it('are read like any other', function()
    eval(function()
      mesh.state.t = { list = { 1, 2, 3 }, map = { a = { b = { c = 'deep' } } }, empty = {}, none = mesh.array {} }
      local t = mesh.state.t
      assert(type(t) == 'table' and t.map.a.b.c == 'deep' and t.missing == nil)
      assert(#t.list == 3 and #t.empty == 0 and #t == 0)
      assert(table.concat(t.list, ',') == '1,2,3')
      assert(select('#', table.unpack(t.list)) == 3)
      local sum = 0
      for i, n in ipairs(t.list) do sum = sum + i * n end
      assert(sum == 14)
      local keys = {}
      for key, value in pairs(t) do
        keys[#keys + 1] = key
        assert(type(value) == 'table' and value == t[key])
      end
      table.sort(keys)
      assert(table.concat(keys, ' ') == 'empty list map none')
      assert(next(t.empty) == nil and next(t.map) == 'a' and next(t.map, 'a') == nil)
      local count = 0
      for _ in next, t do count = count + 1 end
      assert(count == 4)
      local copy = table.move(t.list, 1, 3, 2, { 0 })
      assert(table.concat(copy, ',') == '0,1,2,3')
    end)
  end)

  it('are the same while nobody has changed them, and equal when they hold the same', function()
    eval(function()
      mesh.state.t = { a = { 1, 2 }, b = 1 }
      local before = mesh.state.t
      assert(rawequal(before, mesh.state.t) and rawequal(before.a, mesh.state.t.a))
      mesh.state.t = { a = { 1, 2 }, b = 1 }
      assert(not rawequal(before, mesh.state.t))
      assert(before == mesh.state.t and before.a == mesh.state.t.a)
      assert(before == { b = 1, a = { 1, 2 } } and { a = { 1, 2 }, b = 1.0 } == before)
      assert(before ~= { a = { 1, 2 } } and before ~= { a = { 1, 2 }, b = 1, c = 1 })
      assert(before.a ~= { 1 } and before.a ~= { 1, 2, 3 } and before.a ~= 1)
      local cycle = { 1 }
      cycle[2] = cycle
      assert(before.a ~= cycle)
      mesh.state.t = { a = { 1, 3 }, b = 1 }
      assert(before ~= mesh.state.t and before.a[2] == 2 and mesh.state.t.a[2] == 3)
    end)
  end)

  it('cannot be written into, which is told where it is tried', function()
    for code, path in pairs {
      ["mesh.state.t.x = 1"] = 'mesh.state.t',
      ["mesh.state.t.a.b = 1"] = 'mesh.state.t',
      ["mesh.state['a b'][1] = 1"] = "mesh.state['a b']",
      ["mesh.shared.t[1] = nil"] = 'mesh.shared.t',
      ["table.insert(mesh.state.t, 1)"] = 'mesh.state.t',
      ["table.sort(mesh.state.t.list)"] = 'mesh.state.t',
    } do
      local message = eval(function(source)
        mesh.state.t = { a = {}, list = { 2, 1 } }
        mesh.state['a b'], mesh.shared.t = {}, {}
        return select(2, pcall(load('\n' .. source, '=code')))
      end, code)
      assert.truthy(message:find('code:2: ' .. path .. ' cannot be written into: mesh.', 1, true), message)
      assert.truthy(message:find(":update('", 1, true), message)
    end
    eval(function()
      assert(not pcall(setmetatable, mesh.state.t, {}))
      assert(not getmetatable(mesh.state.t))
      assert(not pcall(mesh.array, mesh.state.t))
    end)
  end)

  it('do no harm to the node when a script gets at what they are made of', function()
    eval(function()
      local rawnext = pairs {}
      mesh.state.t = { a = { b = 1 }, c = { b = 1 } }
      local t = mesh.state.t
      local child, parts, target = t.a, {}, nil
      assert(t.c and rawequal(child, t.a))
      for key, value in rawnext, t do
        parts[key] = value
        if type(value) == 'table' then target = key end
      end
      assert(target)
      rawset(child, target, parts[target]) -- it contains itself
      local before = { [t] = 1 }
      mesh.state.t = { a = { b = 1 } }
      assert(not pcall(function() return t == mesh.state.t end) or true)
      local ok, err = pcall(mesh.call, 'x', t)
      assert(not ok and err.code == 'INVALID', tostring(err))
      rawset(child, target, child)
      assert(not pcall(mesh.call, 'x', child))
      for key in pairs(parts) do
        for _, junk in ipairs { io.stdout, 5, {}, print, mesh.null } do
          rawset(t, key, junk)
          pcall(function() t.x = 1 end)
          pcall(function() return t.x, #t, next(t), t == child end)
          pcall(mesh.call, 'x', t)
        end
        rawset(t, key, nil)
      end
      assert(next(before))
      assert(mesh.state.t == { a = { b = 1 } })
    end)
  end)

  it('travel as what they hold', function()
    local b = net:node('b', { peers = { node } }, function()
      mesh = require 'perilune'
      mesh.action('echo', function(...) return ... end)
    end)
    assert.truthy(b:url())
    eval(function()
      mesh.state.t = { 1, { a = { 2 } }, mesh.array {} }
      local t = mesh.state.t
      assert(t[2].a[1] == 2) -- now it is a view within
      local back, nested = mesh.call('echo', t, { y = t, x = t[2] })
      assert(getmetatable(back) == nil and back[2].a[1] == 2 and #back == 3)
      assert(nested.y == t and nested.x.a[1] == 2)
    end)
  end)

  it('travel inside of tables of the script', function()
    eval(function()
      local json, msgpack = require 'perilune.json', require 'perilune.msgpack'
      mesh.state.t = { 1, { a = { 2 } }, mesh.array {} }
      local t = mesh.state.t
      assert(json.encode(t) == '[1,{"a":[2]},[]]', json.encode(t))
      assert(json.encode { x = t[2] } == '{"x":{"a":[2]}}')
      assert(json.encode { t[2].a, t[3], 5 } == '[[2],[],5]')
      assert(msgpack.encode(t) == msgpack.encode { 1, { a = { 2 } }, mesh.array {} })
      mesh.state.copy = { t, more = nil }
      assert(mesh.state.copy[1] == t)
      mesh.state.again = t
      assert(mesh.state.again == t)
    end)
  end)

  it('are decoded once for each change, and not kept for ever', function()
    eval(function()
      local state = mesh.state
      for i = 1, 40 do state['k' .. i] = { ('x'):rep(1000), i } end
      for _ = 1, 3 do
        for i = 1, 40 do assert(state['k' .. i][2] == i) end
      end
      local first = state.k1
      assert(rawequal(first, state.k1))
      state:clear()
      assert(state.k1 == nil and first[2] == 1)
    end)
  end)
end)
