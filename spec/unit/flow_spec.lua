local flows = require 'spec.support.flows'
local testing = require 'perilune.testing'
local flow, wire, mem, base = testing.flow, testing.wire, testing.base.mem, testing.base
local types, payload = flows.types, flows.payload

local CALL, BODY, DATA, RESULT, ERROR, CREDIT, CANCEL = 32, 33, 34, 36, 37, 38, 39
local MORE, CALLEE = 1, 16
local FRAGMENT = 16384

flows.describe('a flow', function(over)
  local world

  before_each(function() world = over.world end)

  local function arrived()
    world:turn()
    return world:frames()
  end

  it('writes a small call at once, map and arguments in one frame', function()
    local f <close> = setmetatable({ world:flow(7) }, { __close = function(t) t[1]:close() end })
    assert.is_true(f[1]:call('sum', '\x91\x05'))
    local frames = arrived()
    assert.same({ CALL }, types(frames))
    assert.equal(7, frames[1].label)
    local m, took = wire.message.decode('call', frames[1].body)
    assert.equal('sum', m.action)
    assert.equal('\x91\x05', frames[1].body:sub(took + 1))
  end)

  it('cuts a large body into fragments that the receiver can put together', function()
    local f = world:flow(1)
    f:grant(0, 10 * FRAGMENT)
    local args = ('0123456789'):rep(10000)
    assert.is_false(f:call('big', args))
    local frames = arrived()
    local m, took = wire.message.decode('call', frames[1].body)
    assert.equal(100000, m.body_len)
    assert.equal(args, frames[1].body:sub(took + 1) .. payload({ table.unpack(frames, 2) }, 1))
    for i, frame in ipairs(frames) do
      assert.equal(i == 1 and CALL or BODY, frame.type)
      assert.equal(i == #frames and 0 or MORE, frame.flags)
      assert.is_true(#frame.body <= FRAGMENT)
    end
    assert.equal(1, f:info().empties)
    f:close()
  end)

  it('sends a tail that lies elsewhere as if it followed its head', function()
    local head, tail = 'head', ('0123456789'):rep(10000)
    for _, kind in ipairs { 'call', 'item', 'result' } do
      local sent = {}
      for i, parts in ipairs { { head .. tail }, { head, tail } } do
        local f = world:flow(i)
        f:grant(1, 20000)
        if kind == 'call' then table.insert(parts, 1, 'name') end
        assert.is_false(f[kind](f, table.unpack(parts)))
        sent[i] = payload(arrived(), i)
        f:grant(0, 1 << 20)
        local frames = arrived()
        sent[i] = sent[i] .. payload(frames, i)
        assert.equal(0, frames[#frames].flags & MORE)
        assert.same({ 1, true }, { f:info().empties, f:info().idle })
        f:close()
      end
      assert.is_true(sent[1] == sent[2], kind)
      assert.equal(tail, sent[2]:sub(-#tail))
    end
  end)

  it('stops at the end of its credit, and goes on with more', function()
    local f = world:flow(1)
    f:call('big', ('x'):rep(100000))
    local first = #payload(arrived(), 1)
    assert.is_true(first <= FRAGMENT)
    assert.equal(0, #arrived())
    f:grant(0, 5)
    local frames = arrived()
    assert.equal(5, #payload(frames, 1))
    assert.equal(0, f:info().bytes)
    f:grant(0, 1 << 20)
    arrived()
    assert.is_true(f:info().idle)
    f:close()
  end)

  it('sends items while it has credit for both', function()
    local f = world:flow(2, CALLEE)
    f:grant(2, 100)
    assert.is_true(f:item 'one')
    assert.is_true(f:item 'two')
    assert.is_false(f:item 'three')
    local frames = arrived()
    assert.same({ DATA }, types(frames)) -- both in one frame
    assert.equal(2, frames[1].aux)
    assert.equal('\3one\3two', frames[1].body)
    assert.equal(CALLEE, frames[1].flags)
    f:grant(1, 0)
    frames = arrived()
    assert.equal('\5three', frames[1].body)
    assert.same({ 1, 0, 100 - 4 - 4 - 6 }, { f:info().empties, f:info().items, f:info().bytes })
    f:close()
  end)

  it('gathers the items of a turn in few frames', function()
    local f = world:flow(2, CALLEE)
    f:grant(1000, 100000)
    for i = 1, 1000 do assert.is_true(f:item(('%04d'):format(i))) end
    local frames = arrived()
    local items = 0
    for _, frame in ipairs(frames) do
      assert.equal(DATA, frame.type)
      items = items + frame.aux
    end
    assert.equal(1000, items)
    assert.is_true(#frames <= 3, #frames)
    f:close()
  end)

  it('does not put items of two flows into one frame, nor past another frame', function()
    local f, g = world:flow(2, CALLEE), world:flow(4, CALLEE)
    f:grant(10, 100)
    g:grant(10, 100)
    f:item 'a'
    g:item 'b'
    f:item 'c'
    f:control(CREDIT, '\x80')
    f:item 'd'
    f:item 'e'
    local frames = arrived()
    local shown = {}
    for i, frame in ipairs(frames) do shown[i] = ('%d %d %d'):format(frame.type, frame.label, frame.aux) end
    assert.same({ '34 2 1', '34 4 1', '34 2 1', '38 2 0', '34 2 2' }, shown)
    f:close()
    g:close()
  end)

  it('never splits the length of an item', function()
    local f = world:flow(2, CALLEE)
    local long = ('x'):rep(300) -- two bytes of length
    f:item(long)
    f:grant(5, 2)
    assert.same({}, types(arrived()))
    f:grant(0, 1)
    local frames = arrived()
    assert.equal('\172\2x', frames[1].body)
    assert.same({ MORE | CALLEE, 0 }, { frames[1].flags, frames[1].aux })
    f:grant(0, 299)
    frames = arrived()
    assert.same({ BODY, CALLEE, 1, 299 }, { frames[1].type, frames[1].flags, frames[1].aux, #frames[1].body })
    assert.equal(4, f:info().items)
    f:close()
  end)

  it('keeps items, results and errors in order', function()
    for last, type in pairs { result = RESULT, error = ERROR } do
      local f = world:flow(2, CALLEE)
      f:item 'one'
      f:item 'two'
      f[last](f, 'the end')
      assert.same({}, types(arrived()))
      f:grant(1, 100)
      assert.same({ DATA }, types(arrived()))
      f:grant(1, 0)
      assert.same({ DATA, type }, types(arrived()))
      f:close()
    end
  end)

  it('lets control frames overtake, without credit', function()
    local f = world:flow(1)
    f:call('big', ('x'):rep(50000))
    f:control(CANCEL, '\x81\x01\x01')
    local seen = types(arrived())
    assert.equal(CANCEL, seen[1])
    f:close()
  end)

  it('takes back what has not begun', function()
    local f = world:flow(1)
    local big = world:flow(3)
    big:grant(0, 1 << 20)
    big:call('big', ('x'):rep(50000)) -- others wait behind it
    f:call('small', '\x90')
    assert.is_true(f:withdraw())
    local labels = {}
    for _, frame in ipairs(arrived()) do labels[frame.label] = true end
    assert.same({ [3] = true }, labels)
    f:call('again', '\x90')
    arrived()
    assert.is_false(f:withdraw())
    f:close()
    big:close()
  end)

  it('finishes a body that has begun', function()
    local f = world:flow(2, CALLEE)
    f:grant(10, 20)
    f:item(('x'):rep(50))
    f:item 'second'
    arrived()
    assert.is_false(f:withdraw())
    f:grant(0, 1000)
    local frames = arrived()
    assert.same({ BODY }, types(frames))
    assert.is_true(f:info().idle)
    f:close()
  end)

  it('shares the link with others, fragment by fragment', function()
    local list = {}
    for i = 1, 3 do
      list[i] = world:flow(2 * i - 1)
      list[i]:grant(0, 1 << 26)
      list[i]:call('big', ('x'):rep(1000000))
    end
    local small = world:flow(99)
    assert.is_false(small:call('small', '\x90'))
    local frames = arrived()
    local last, position = {}, nil
    for i, frame in ipairs(frames) do
      if frame.label == 99 then position = position or i end
      if i > 3 and i < #frames - 6 and frame.label ~= 99 then
        assert.not_equal(frame.label, last.label) -- never two of the same in a row
      end
      last = frame
    end
    assert.is_true(position <= 4, position)
    for i = 1, 3 do
      assert.is_true(list[i]:info().idle)
      list[i]:close()
    end
    small:close()
  end)

  --- Bytes of each label among the first `bytes` of the frames.
  local function shares(frames, bytes)
    local each, sum = {}, 0
    for _, f in ipairs(frames) do
      sum = sum + #f.body
      if sum > bytes then break end
      each[f.label] = (each[f.label] or 0) + #f.body
    end
    return each
  end

  it('shares the link by bytes, however many frames they are cut into', function()
    local bulk, small, large = world:flow(1, CALLEE), world:flow(3, CALLEE), world:flow(5, CALLEE)
    for _, f in ipairs { bulk, small, large } do f:grant(1 << 20, 1 << 26) end
    bulk:item(('x'):rep(2000000))
    for _ = 1, 20000 do small:item(('y'):rep(99)) end
    for _ = 1, 250 do large:item(('z'):rep(7998)) end
    local got = shares(arrived(), 3000000)
    for label, bytes in pairs(got) do
      assert.is_true(math.abs(bytes - 1000000) < 50000, label .. ': ' .. bytes)
    end
    for _, f in ipairs { bulk, small, large } do
      assert.is_true(f:info().idle)
      f:close()
    end
  end)

  it('lets what is small pass what is not, but not for ever', function()
    local bulks = {}
    for i = 1, 10 do
      bulks[i] = world:flow(2 * i - 1)
      bulks[i]:grant(0, 1 << 26)
      bulks[i]:call('big', ('x'):rep(1000000))
    end
    local smalls = {}
    for i = 1, 100 do
      smalls[i] = world:flow(1000 + i)
      smalls[i]:call('small', ('y'):rep(5000))
    end
    local before, between, seen, most = 0, 0, 0, 0
    for _, f in ipairs(arrived()) do
      if f.label > 1000 then
        seen, between = seen + 1, between + #f.body
        most = math.max(most, between)
      else
        between = 0
        if seen == 0 then before = before + 1 end
        if seen < 100 then most = math.max(most, between) end
      end
    end
    assert.is_true(before < 20, before .. ' fragments came first') -- one of each, and a few
    assert.is_true(most <= 5 * FRAGMENT, most .. ' bytes of small ones in a row')
    for _, f in ipairs { table.unpack(smalls) } do f:close() end
    for _, f in ipairs(bulks) do f:close() end
  end)

  it('lets items follow one another while they wait for their turn only, up to one turn', function()
    local bulk, f = world:flow(1), world:flow(2, CALLEE)
    bulk:grant(0, 1 << 26)
    bulk:call('big', ('x'):rep(1000000))
    f:grant(1000, 100000)
    local n = 0
    while f:item(('y'):rep(999)) do n = n + 1 end
    assert.equal(16, n)
    local items = 0
    for _, frame in ipairs(arrived()) do
      if frame.label == 2 then items = items + frame.aux end
    end
    assert.equal(17, items)
    assert.equal(1, f:info().empties)
    f:close()
    f = world:flow(2, CALLEE)
    bulk:call('big', ('x'):rep(1000000))
    f:grant(3, 100)
    local went_on = {}
    for i = 1, 4 do went_on[i] = f:item(('y'):rep(9)) end
    assert.same({ true, true, true, false }, went_on)
    f:close()
    bulk:close()
  end)

  it('does not fill the link beyond its high mark', function()
    local f = world:flow(1)
    f:grant(0, 1 << 26)
    f:call('big', ('x'):rep(10000000))
    local frames = arrived()
    local _, head = wire.message.decode('call', frames[1].body)
    assert.equal(10000000, #payload(frames, 1) - head)
    assert.equal(FRAGMENT - 64, #frames[1].body, 'room for what relays add')
    f:close()
  end)

  it('refuses more credit than can be held', function()
    local f = world:flow(1)
    assert.is_true(f:grant(1 << 30, 1 << 30))
    assert.same({ nil, 'PROTOCOL' }, { f:grant(1, 0) })
    assert.same({ nil, 'PROTOCOL' }, { f:grant(0, 1) })
    assert.same({ nil, 'PROTOCOL' }, { f:grant(-1, 0) }) -- as an unsigned number
    assert.same({ 1 << 30, 1 << 30 }, { f:info().items, f:info().bytes })
    f:close()
  end)

  it('closes the link when memory for a body is out', function()
    local f = world:flow(1)
    mem.fail_at(1)
    f:item 'waits'
    mem.fail_at(0)
    world:turn()
    assert.is_false(world:up())
    f:close()
  end)
end)

describe('a flow and an intake', function()
  -- Both ends of streams with random items, windows and consumers, against a plain model: every item arrives once, in
  -- order and whole, and the credit of both ends is the same when nothing is under way.
  for seed = 1, 25 do
    it('agree on credit, seed ' .. seed, function()
      local live = mem.live()
      local random = base.random.new(seed)
      local world = flow.world()
      world:frames()
      local circuits, count = {}, 1 + random:below(6)
      for i = 1, count do
        local items, bytes = 1 + random:below(20), 10 + random:below(3000)
        local c = { flow = world:flow(2 * i, CALLEE), intake = flow.intake(items, bytes, 1 << 20), sent = {}, got = 0 }
        assert(c.flow:grant(items, bytes))
        circuits[2 * i] = c
      end

      local function deliver()
        world:turn()
        for _, frame in ipairs(world:frames()) do
          frame.expected = random:below(2) == 0
          assert.is_truthy(circuits[frame.label].intake:frame(frame))
        end
      end

      local function consume(c, all)
        while all or random:below(3) > 0 do
          local item = c.intake:next()
          if not item then break end
          c.got = c.got + 1
          assert.equal(c.sent[c.got], item)
        end
        local items, bytes = c.intake:grant()
        if items then assert(c.flow:grant(items, bytes)) end
        return items ~= nil
      end

      for _ = 1, 300 do
        local c = circuits[2 * (1 + random:below(count))]
        local kind = random:below(10)
        if kind < 5 then
          local text = string.char(97 + random:below(26)):rep(random:below(kind == 0 and 40000 or 200))
          c.sent[#c.sent + 1] = text
          c.flow:item(text)
        elseif kind < 7 then
          deliver()
        else
          consume(c)
        end
        if random:below(5) == 0 then c.intake:settle() end
      end

      local moved = true
      while moved do
        deliver()
        moved = false
        for _, c in pairs(circuits) do
          local before = c.got
          moved = consume(c, true) or c.got > before or moved
        end
      end
      for _, c in pairs(circuits) do
        assert.equal(#c.sent, c.got)
        local info = c.flow:info()
        local waiting, open_items, open_bytes, held = c.intake:info()
        assert.same({ 0, 0, true }, { waiting, held, info.idle })
        assert.same({ info.items, info.bytes }, { open_items, open_bytes })
        c.flow:close()
        c.intake:close()
      end
      world:free()
      collectgarbage()
      assert.equal(live, mem.live())
    end)
  end
end)
