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
