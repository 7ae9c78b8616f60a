--- runtime/link/outq: what a link has to write, and what it keeps for another one.

local testing = require 'perilune.testing'
local outq, mem = testing.link.outq, testing.base.mem

describe('the queue of a link', function()
  local live, queues
  before_each(function() live, queues = mem.live(), {} end)
  after_each(function()
    for _, q in ipairs(queues) do q:free() end
    assert.equal(live, mem.live())
  end)

  local function new()
    queues[#queues + 1] = outq()
    return queues[#queues]
  end

  it('lets go of what is written, unless it is to keep it', function()
    local q = new()
    q:put 'one'
    q:push 'two'
    assert.equal('onetwo', q:unwritten())
    q:consume(4)
    assert.equal('wo', q:unwritten())
    q:consume(2)
    assert.same({ 0, 0, 0, false }, { q:state() })
    q:keep()
    q:put 'three'
    q:consume(2)
    assert.same({ 3, 2, 0, true }, { q:state() })
    q:consume(3)
    assert.same({ 0, 5, 0, true }, { q:state() })
    assert.is_true(q:acknowledge(5))
    assert.same({ 0, 0, 5, false }, { q:state() })
  end)

  it('goes on filling a batch whose bytes are all written', function()
    local q = new()
    q:keep()
    q:put 'one'
    q:consume(3)
    q:put 'two'
    assert.equal('two', q:unwritten())
    q:acknowledge(3)
    assert.equal('two', q:unwritten())
    assert.is_true(q:rewind(3))
    assert.equal('two', q:unwritten())
  end)

  it('does not count what was queued before, nor what is for this link only', function()
    local q = new()
    q:put 'greeting'
    q:keep()
    q:put('ping', true)
    q:put 'one'
    q:put('ping', true)
    q:put 'two'
    q:consume(8 + 4 + 3 + 2)
    assert.same({ 5, 3, 0, true }, { q:state() })
    assert.is_true(q:rewind(0))
    assert.equal('onetwo', q:unwritten())
  end)

  it('knows what the other end can have', function()
    local q = new()
    q:keep()
    q:put 'onetwothree'
    q:consume(6)
    assert.is_false(q:acknowledge(7))
    q:fly(3) -- may have left, or not
    assert.is_true(q:acknowledge(7))
    assert.same({ 5, 0, 6, true }, { q:state() })
    q:fly(0)
    q:consume(3)
    assert.same({ 2, 2, 7, true }, { q:state() })
    assert.is_false(q:rewind(6))
    assert.is_false(q:rewind(12))
    assert.is_true(q:rewind(8))
    assert.equal('ree', q:unwritten())
    assert.is_true(q:rewind(9)) -- as far as it had been
    assert.equal('ee', q:unwritten())
    assert.is_false(q:rewind(10))
  end)

  it('follows another with all that is left', function()
    local q, after = new(), new()
    q:keep()
    q:put 'one'
    q:push(('x'):rep(5000))
    q:consume(2000)
    assert.is_true(q:rewind(1000))
    after:put 'greeting'
    assert.is_true(after:follow(q))
    assert.equal('greeting' .. ('x'):rep(4003), after:unwritten())
    assert.same({ 0, 0, 0, false }, { q:state() })
    after:consume(8 + 3)
    assert.same({ 4000, 3, 1000, true }, { after:state() })
    after:put 'more'
    assert.equal(('x'):rep(4000) .. 'more', after:unwritten())
  end)

  it('says so when there is no memory to follow, and loses nothing', function()
    local q, after = new(), new()
    q:keep()
    for i = 1, 40 do q:push(('%05d'):format(i)) end
    q:rewind(0)
    after:put 'greeting'
    mem.fail_at(1)
    assert.is_false(after:follow(q))
    assert.equal('greeting', after:unwritten())
    assert.equal(200, #q:unwritten())
  end)

  it('keeps no more when told to forget', function()
    local q = new()
    q:keep()
    q:put 'onetwo'
    q:consume(3)
    q:forget()
    assert.equal('two', q:unwritten())
    q:consume(3)
    assert.same({ 0, 0, 0, false }, { q:state() })
  end)

  --- The same in Lua: counted bytes are upper case, others lower case.
  local function model()
    local m = { queue = '', written = '', position = 0 }

    function m:consume(n)
      self.written = self.written .. self.queue:sub(1, n):gsub('%l', '')
      self.queue = self.queue:sub(n + 1)
    end

    function m:rewind(position)
      self.queue = (self.written .. self.queue):sub(position - self.position + 1):gsub('%l', '')
      self.written, self.position = '', position
    end

    function m:acknowledge(position)
      self.written = self.written:sub(position - self.position + 1)
      self.position = position
    end

    return m
  end

  it('loses, repeats and mixes up nothing, whatever happens to it', function()
    for seed = 1, 12 do
      math.randomseed(seed)
      local q, m = new(), model()
      q:keep()
      local turn = 0
      for _ = 1, 400 do
        local what = math.random(10)
        turn = turn + 1
        if what <= 3 then
          local text = string.char(65 + turn % 26):rep(math.random(math.random(10) == 1 and 40000 or 50))
          q:put(text, false)
          m.queue = m.queue .. text
        elseif what == 4 then
          local text = string.char(65 + turn % 26):rep(math.random(9000))
          q:push(text)
          m.queue = m.queue .. text
        elseif what == 5 then
          q:put('ping', true)
          m.queue = m.queue .. 'ping'
        elseif what <= 7 then
          local n = math.random(0, #m.queue)
          q:consume(n)
          m:consume(n)
        elseif what <= 9 then
          local position = m.position + math.random(0, #m.written)
          assert.is_true(q:acknowledge(position))
          m:acknowledge(position)
        elseif math.random(4) == 1 then
          local position = m.position + math.random(0, #m.written)
          local after = new()
          assert.is_true(q:rewind(position))
          m:rewind(position)
          after:put 'greeting'
          assert.is_true(after:follow(q))
          q, m.queue = after, 'greeting' .. m.queue
        end
        local bytes, kept, acknowledged = q:state()
        assert.same({ #m.queue, #m.written, m.position }, { bytes, kept, acknowledged })
        assert.is_true(m.queue == q:unwritten())
      end
    end
  end)
end)
