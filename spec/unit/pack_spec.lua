local script = require 'spec.support.script'
local testing = require 'perilune.testing'
local native, mem = testing.lua, testing.base.mem

local MAX = 1 << 24

describe('what a script sends', function()
  local vm

  before_each(function() vm = script.vm() end)

  after_each(function()
    native.packed()
    script.close_all()
  end)

  -- Packs the values that `source` says; returns the two parts and what encoding makes of them.
  local function pack(source, codec)
    local run = script.start(vm, ('local codec = %q %s'):format(codec or 'msgpack', source))
    vm:advance(1)
    local state, result, trace = run:state()
    assert.equal('done', state, result .. trace)
    local head, tail = native.packed()
    return head, tail, result
  end

  local function packs(values, codec)
    return pack(([[
      local function both(...) spec.pack(codec, %d, ...) return spec.encode(codec, %d, ...) end
      return both(%s)
    ]]):format(MAX, MAX, values), codec)
  end

  it('is whole when its two parts are joined', function()
    for _, values in ipairs {
      '', '1', "'short'", "('x'):rep(16384)", "('x'):rep(16385)", "('\\255'):rep(100000)",
      "1, nil, ('grün'):rep(100000)", "('a'):rep(50000), ('b'):rep(50000)",
      "{ ('x'):rep(50000) }", "('x'):rep(50000), nil", "('k'):rep(50), ('v'):rep(20000)",
    } do
      local head, tail, encoded = packs(values)
      assert.is_true(head .. tail == encoded, values)
    end
  end)

  it('has a tail only for a long string at the end', function()
    for values, len in pairs {
      ["('x'):rep(16384)"] = 0,
      ["('x'):rep(16385)"] = 16385,
      ["'key', { 1, 2 }, ('\\255'):rep(100000)"] = 100000,
      ["('x'):rep(50000), 1"] = 0,
      ["{ ('x'):rep(50000) }"] = 0,
      ["('k'):rep(50), ('v'):rep(20000)"] = 20000,
      ["('k'):rep(60), ('v'):rep(20000)"] = 0, -- too much before it
    } do
      local _, tail = packs(values)
      assert.equal(len, #tail, values)
    end
    assert.equal('', (select(2, packs("('x'):rep(50000)", 'json'))))
  end)

  it('keeps its bytes when the string is collected', function()
    local head, tail = pack [[
      spec.pack(codec, 1 << 24, ('abcd'):rep(20000))
      for i = 1, 50 do
        collectgarbage()
        local other = ('efgh'):rep(20000 + i)
      end
    ]]
    assert.equal(('abcd'):rep(20000), tail)
    assert.equal(6, #head)
  end)

  it('keeps its bytes when the script is gone', function()
    local live = mem.live()
    local other = native.vm()
    other:start "local spec = require 'spec' spec.pack('msgpack', 1 << 24, ('abcd'):rep(20000))"
    other:advance(1)
    other:close()
    local _, tail = native.packed()
    assert.equal(('abcd'):rep(20000), tail)
    other = nil -- luacheck: ignore
    collectgarbage()
    assert.equal(live, mem.live())
  end)

  it('can hold the same string several times', function()
    local _, tail = pack [[
      local s = ('abcd'):rep(20000)
      for _ = 1, 3 do spec.pack(codec, 1 << 24, s) end
      s = nil
      collectgarbage()
    ]]
    assert.equal(('abcd'):rep(20000), tail)
  end)

  it('is refused when it is longer than the limit', function()
    local run = script.start(vm, [[
      local ok, e = pcall(spec.pack, 'msgpack', 50000, ('x'):rep(50000))
      spec.pack('msgpack', 50020, ('x'):rep(50000))
      return ok, e.code
    ]])
    vm:advance(1)
    local state, result = run:state()
    assert.same({ 'done', 'false TOO_LARGE' }, { state, result })
    assert.equal(50000, #select(2, native.packed()))
  end)

  it('is copied when there is no memory for an owner', function()
    pack "spec.pack(codec, 100, 0)" -- there is a scratch buffer from now on
    local run = script.start(vm, "spec.pack('msgpack', 1 << 24, ('x'):rep(50000))")
    mem.fail_at(1)
    vm:advance(1)
    mem.fail_at(0)
    local head, tail = native.packed()
    assert.same({ 'done', 50004, '' }, { run:state(), #head, tail })
  end)
end)

describe('a string that a script is sent', function()
  after_each(function()
    testing.lua.packed()
    script.close_all()
  end)

  local eval = script.eval

  it('is the same wherever it lies', function()
    assert.equal('true', eval [[
      for _, len in ipairs { 16384, 16385, 50000, 65535, 65536, 100000 } do
        for _, s in ipairs { ('x'):rep(len), ('\255'):rep(len) } do
          local bytes = spec.encode('msgpack', 1 << 24, 'first', s)
          local alone = spec.encode('msgpack', 1 << 24, s)
          for front = 0, 64 do
            local _, a, b = spec.take('msgpack', front, 1, bytes)
            local _, c = spec.take('msgpack', front, front % 2, alone)
            if a ~= 'first' or b ~= s or c ~= s then return front, len end
          end
        end
      end
      return true
    ]])
  end)

  it('stays where it lies if that is where a string may begin', function()
    assert.equal('true true false false false false false', eval [[
      local function stays(len, front, behind, codec)
        codec = codec or 'msgpack'
        return (spec.take(codec, front, behind or 1, spec.encode(codec, 1 << 24, ('x'):rep(len))))
      end
      return stays(50000, 36), stays(100000, 34), stays(100000, 36), stays(100000, 18), stays(100000, 34, 0),
        stays(100000, 34, 30000), stays(100000, 34, 1, 'json')
    ]])
  end)

  it('lives as long as the script has it, and longer if that sends it', function()
    local vm = testing.lua.vm()
    local run = script.start(vm, [[
      local bytes = spec.encode('msgpack', 1 << 24, ('abcd'):rep(20000))
      local kept = {}
      for i = 1, 20 do
        local stayed, s = spec.take('msgpack', 34, 1, bytes)
        if not stayed then return i end
        kept[i % 3] = s
        spec.pack('msgpack', 1 << 24, s)
        s = nil
        collectgarbage()
      end
      for _, s in pairs(kept) do
        if s ~= ('abcd'):rep(20000) then return false end
      end
      kept = nil
      collectgarbage()
      return true
    ]])
    vm:advance(1)
    local state, result = run:state()
    assert.same({ 'done', 'true' }, { state, result })
    vm:close()
    local _, tail = testing.lua.packed()
    assert.equal(('abcd'):rep(20000), tail)
  end)

  it('counts for the memory of the script', function()
    local state, result = script.run([[
      local bytes, kept = spec.encode('msgpack', 1 << 24, ('abcd'):rep(100000)), {}
      for i = 1, 100 do kept[i] = select(2, spec.take('msgpack', 34, 1, bytes)) end
    ]], { memory_limit = 8 << 20 })
    assert.equal('failed', state)
    assert.matches('not enough memory', result)
  end)
end)
