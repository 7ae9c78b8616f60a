local base = require('perilune.testing').base
local map, mem = base.map, base.mem

describe('a map', function()
  it('finds what was put, under numbers and under bytes', function()
    local m = map.new()
    assert.is_nil(m:put(0, 7))
    assert.is_nil(m:put(-1, 8))
    assert.equal(7, m:find(0))
    assert.equal(8, m:find(-1))
    assert.is_nil(m:find(1))

    local b = map.new()
    b:put('', 1)
    b:put('a', 2)
    b:put('a\0', 3)
    b:put(('x'):rep(1000), 4)
    assert.same({ 1, 2, 3, 4 }, { b:find(''), b:find('a'), b:find('a\0'), b:find(('x'):rep(1000)) })
    assert.is_nil(b:find(('x'):rep(999)))
  end)

  it('tells keys apart that differ in one byte', function()
    for len = 1, 20 do
      local m, key = map.new(), ('k'):rep(len)
      m:put(key, len)
      for at = 1, len do
        assert.equal(len, m:find(key))
        assert.is_nil(m:find(key:sub(1, at - 1) .. 'K' .. key:sub(at + 1)))
      end
    end
  end)

  it('is empty before its first entry', function()
    local m = map.new()
    assert.is_nil(m:find(1))
    assert.is_nil(m:find('a'))
    assert.is_nil(m:remove(1))
    assert.is_nil(m:remove('a'))
    assert.same({}, m:entries())
  end)

  it('returns the value that was replaced, and counts it once', function()
    local m = map.new()
    m:put('k', 1)
    assert.equal(1, m:put('k', 2))
    assert.equal(2, m:find('k'))
    assert.equal(1, m:count())
  end)

  it('returns the value that was removed', function()
    local m = map.new()
    m:put(5, 50)
    assert.equal(50, m:remove(5))
    assert.is_nil(m:remove(5))
    assert.equal(0, m:count())
  end)

  it('copies its byte keys and frees them', function()
    local live = mem.live()
    local m = map.new()
    for i = 1, 100 do
      m:put('key ' .. i, i)
    end
    for i = 1, 50 do
      m:remove('key ' .. i)
    end
    m:fini()
    assert.equal(live, mem.live())
    assert.is_nil(m:find('key 60'))
    m:put('again', 1)
    assert.equal(1, m:find('again'))
    m:fini()
  end)

  it('tells bytes apart wherever they differ', function()
    local m = map.new()
    for len = 0, 70 do
      m:put(('a'):rep(len), len + 1)
      for at = 1, len do
        m:put(('a'):rep(at - 1) .. 'b' .. ('a'):rep(len - at), len * 100 + at + 1000)
      end
    end
    for len = 0, 70 do
      assert.equal(len + 1, m:find(('a'):rep(len)))
      for at = 1, len do
        assert(m:find(('a'):rep(at - 1) .. 'b' .. ('a'):rep(len - at)) == len * 100 + at + 1000)
      end
    end
    assert.equal(71 + 70 * 71 // 2, m:count())
  end)

  it('walks over every entry once', function()
    local m, expected, seen = map.new(), {}, {}
    for i = 1, 1000 do
      m:put(i * 1024, i)
      expected[i * 1024] = i
    end
    for _, entry in ipairs(m:entries()) do
      assert.is_nil(seen[entry[1]])
      seen[entry[1]] = entry[2]
    end
    assert.same(expected, seen)
  end)

  it('spreads keys of any pattern', function()
    for _, step in ipairs { 1, 2, 1024, 1 << 32, 1 << 48, 0x9e3779b97f4a7c15, 0xd6e8feb86659fd93 } do
      for _ = 1, 20 do -- each has a seed of its own
        local m = map.new()
        for i = 1, 6000 do
          m:put(i * step, 1)
        end
        assert.is_true(m:longest_run() < 400, 'step ' .. step .. ': ' .. m:longest_run())
      end
    end
  end)

  it('spreads byte keys that differ in little', function()
    local m = map.new()
    for i = 1, 6000 do
      m:put(('action.number.%06d.of.many'):format(i), 1)
    end
    assert.is_true(m:longest_run() < 400, m:longest_run())
  end)
end)

describe('the order of a walk', function()
  local function walk()
    local m, order = map.new(), {}
    for i = 1, 100 do
      m:put('key ' .. i, i)
    end
    for i, entry in ipairs(m:entries()) do
      order[i] = entry[2]
    end
    return table.concat(order, ' ')
  end

  it('is another in each map, as each has its own seed', function()
    assert.not_equal(walk(), walk())
  end)

  it('replays after the same seed', function()
    map.reseed(42)
    local first, second = walk(), walk()
    map.reseed(42)
    assert.equal(first, walk())
    assert.equal(second, walk())
    assert.not_equal(first, second)
  end)
end)

describe('a map against a table', function()
  local function check(expected, value)
    if expected ~= value then assert.equal(expected, value) end -- which alone is slow
  end

  local function run_model(seed, key_of)
    math.randomseed(seed)
    local m, model, count = map.new(), {}, 0
    for step = 1, 20000 do
      -- Few keys at first, then more, then few again, so that it grows and empties.
      local key = key_of(math.random(step < 12000 and step // 8 + 4 or 300))
      local what = math.random(10)
      if what <= 5 then
        check(model[key], (m:put(key, step)))
        if model[key] == nil then count = count + 1 end
        model[key] = step
      elseif what <= 8 then
        check(model[key], (m:remove(key)))
        if model[key] ~= nil then count = count - 1 end
        model[key] = nil
      else
        check(model[key], (m:find(key)))
      end
      check(count, m:count())
    end
    for key, value in pairs(model) do
      check(value, m:find(key))
    end
    check(count, #m:entries())
  end

  it('agrees on number keys', function()
    for seed = 1, 5 do
      run_model(seed, function(i) return i << (seed * 4) end)
    end
  end)

  it('agrees on byte keys', function()
    for seed = 1, 5 do
      run_model(seed, function(i) return ('k'):rep(i % 40) .. i end)
    end
  end)
end)
