local base = require('perilune.testing').base
local buf, mem = base.buf, base.mem

describe('a buffer', function()
  it('gives back what was appended, from the start on', function()
    local b = buf.new()
    assert.equal('', b:text())
    b:append('hello ')
    b:append('world')
    assert.equal('hello world', b:text())
    b:consume(6)
    assert.equal('world', b:text())
  end)

  it('takes appends of nothing', function()
    local b = buf.new()
    assert.is_true(b:append(''))
    b:consume(0)
    assert.equal('', b:text())
  end)

  it('adds of what was reserved only what was committed', function()
    local b = buf.new()
    assert.is_true(b:reserve(100, 'ab'))
    assert.is_true(b:reserve(0))
    assert.is_true(b:reserve(1, 'c'))
    assert.equal('abc', b:text())
  end)

  it('starts over when all is consumed, and so does not grow', function()
    local b = buf.new()
    b:append('x')
    local cap = b:cap()
    b:consume(1)
    for _ = 1, 1000 do
      b:append('0123456789')
      b:consume(10)
    end
    assert.equal(cap, b:cap())
  end)

  it('uses the consumed part again instead of growing', function()
    local b = buf.new()
    b:append(('x'):rep(1000))
    local cap = b:cap()
    for _ = 1, 1000 do
      b:consume(100)
      b:append(('y'):rep(100))
    end
    assert.is_true(b:cap() <= 4 * cap, b:cap())
    assert.equal(('y'):rep(1000), b:text())
  end)

  it('grows by doubling', function()
    local b, caps = buf.new(), 0
    local last
    for _ = 1, 100000 do
      b:append('x')
      if b:cap() ~= last then caps = caps + 1 end
      last = b:cap()
    end
    assert.is_true(caps <= 12, caps)
  end)

  it('keeps its bytes when memory is exhausted', function()
    local b = buf.new()
    b:append(('x'):rep(60))
    b:consume(10)
    mem.fail_at(1)
    assert.is_false(b:append(('y'):rep(100)))
    assert.equal(('x'):rep(50), b:text())
    assert.is_true(b:append('z'))
    assert.equal(('x'):rep(50) .. 'z', b:text())
  end)

  it('refuses sizes that cannot be', function()
    local b = buf.new()
    b:append('abc')
    assert.is_false(b:reserve(math.maxinteger))
    assert.is_false(b:reserve(-1))
    assert.equal('abc', b:text())
  end)

  it('is usable after its memory was freed', function()
    local live = mem.live()
    local b = buf.new()
    b:append('abc')
    b:fini()
    assert.equal(live, mem.live())
    assert.equal('', b:text())
    b:append('def')
    assert.equal('def', b:text())
    b:fini()
  end)

  it('agrees with a string over random appends and consumes', function()
    math.randomseed(7)
    local b, model = buf.new(), ''
    for i = 1, 5000 do
      if math.random(2) == 1 then
        local piece = tostring(i):rep(math.random(0, 30))
        b:append(piece)
        model = model .. piece
      else
        local n = math.random(0, #model)
        b:consume(n)
        model = model:sub(n + 1)
      end
      assert.is_true(b:text() == model)
    end
  end)
end)

describe('a view', function()
  it('of borrowed bytes is kept by a copy', function()
    local kept = buf.keep('some bytes')
    assert.equal('some bytes', kept:text())
    assert.equal(1, kept:refs())
  end)

  it('of owned bytes is kept by a reference', function()
    local first = buf.keep('some bytes')
    local second = first:keep()
    assert.equal(2, second:refs())
    first:drop()
    assert.equal('', first:text())
    assert.equal(1, second:refs())
    assert.equal('some bytes', second:text())
  end)

  it('of nothing is kept without memory', function()
    local live = mem.live()
    local kept = buf.keep('')
    assert.equal('', kept:text())
    assert.equal(live, mem.live())
  end)

  it('gives its bytes back with the last reference', function()
    local live = mem.live()
    local first = buf.keep('some bytes')
    local second = first:keep()
    first:drop()
    second:drop()
    second:drop()
    assert.equal(live, mem.live())
  end)

  it('is not kept when memory is exhausted', function()
    mem.fail_at(1)
    assert.is_nil(buf.keep('some bytes'))
    assert.is_not_nil(buf.keep('some bytes'))
  end)
end)
