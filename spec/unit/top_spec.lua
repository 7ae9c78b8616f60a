local models = require 'perilune.top.model'
local view = require 'perilune.top.view'

local function figures(action, calls, more)
  local f = { action = action, served = true, calls = calls, ok = calls, failed = 0, streams = 0, sent = 0,
    received = 0, running = 0, queued = 0, codes = {}, latency = { count = calls, ranges = {} } }
  for key, value in pairs(more or {}) do f[key] = value end
  return f
end

local function sample(name, uptime, actions, metrics)
  local m = { links_now = 1, tasks_now = 2, requests_now = 3, requests_queued_now = 4, held_bytes_now = 5000,
    requests_received = 0, calls_opened = 0, relays_opened = 0 }
  for key, value in pairs(metrics or {}) do m[key] = value end
  return { id = name, name = name, answer = { id = name, name = name, uptime = uptime, draining = false, metrics = m,
    actions = actions } }
end

local function row(model, action)
  for _, r in ipairs(model.rows) do
    if r.action == action then return r end
  end
end

describe('two looks at nodes', function()
  it('tell rates by the clock of each node', function()
    local model = models.new()
    model:take { sample('a', 10, { figures('x', 100, { failed = 10, sent = 5 }) }) }
    assert.same({ 0, 100 }, { row(model, 'x').rate, row(model, 'x').calls })
    model:take { sample('a', 12, { figures('x', 150, { failed = 14, sent = 15, received = 10 }) }) }
    local r = row(model, 'x')
    assert.same({ 25, 2, 10 }, { r.rate, r.errors, r.items })
  end)

  it('tell the latencies of what ended between them, and of the last that did', function()
    local model = models.new()
    local function take(at, ranges)
      model:take { sample('a', at, { figures('x', at, { latency = { ranges = ranges } }) }) }
    end
    take(1, { 1000, 99, 2000, 1 })
    assert.same({ 0.001, 0.001 }, { row(model, 'x').p50, row(model, 'x').p99 })
    take(2, { 1000, 99, 2000, 3, 50000, 1 })
    assert.same({ 0.002, 0.05 }, { row(model, 'x').p50, row(model, 'x').p99 })
    take(3, { 1000, 99, 2000, 3, 50000, 1 })
    assert.same({ 0.002, 0.05 }, { row(model, 'x').p50, row(model, 'x').p99 })
  end)

  it('begin anew with a node that was started again, and with an action that was not there', function()
    local model = models.new()
    model:take { sample('a', 100, { figures('x', 1000) }, { requests_received = 1000 }) }
    model:take { sample('a', 1, { figures('x', 5) }, { requests_received = 5 }) }
    assert.same({ 0, 0 }, { row(model, 'x').rate, model.nodes[1].rate })
    model:take { sample('a', 2, { figures('x', 5), figures('y', 8) }) }
    assert.same({ 0, 8 }, { row(model, 'x').rate, row(model, 'y').rate })
    model:take { sample('a', 3, { figures('x', 2), figures('y', 8) }) }
    assert.equal(2, row(model, 'x').rate)
  end)

  it('leave out who did not answer, and go on when he does', function()
    local model = models.new()
    model:take { sample('a', 1, { figures('x', 1) }) }
    model:take { { id = 'a', name = 'a' } }
    assert.same({ 'no answer', 0 }, { model.nodes[1].state, #model.rows })
    model:take { sample('a', 3, { figures('x', 9) }) }
    assert.same({ 'up', 0 }, { model.nodes[1].state, row(model, 'x').rate })
  end)

  it('make one row of all nodes of an action', function()
    local model = models.new()
    local function both(at, n)
      model:take { sample('a', at, { figures('x', n, { running = 1, latency = { ranges = { 1000, n } } }) }),
        sample('b', at, { figures('x', 3 * n, { queued = 2, latency = { ranges = { 9000, n } } }) }) }
    end
    both(1, 0)
    both(2, 10)
    local all = model:together()
    assert.equal(1, #all)
    assert.same({ '2 nodes', 40, 1, 2, 0.001, 0.009 },
      { all[1].node, all[1].rate, all[1].running, all[1].queued, all[1].p50, all[1].p99 })
  end)
end)

describe('a screen of perilune top', function()
  local function model_of(count)
    local model = models.new()
    local function at(seconds)
      local actions = {}
      for i = 1, count do
        actions[i] = figures(('action-%02d'):format(i), (seconds - 1) * i, { queued = count - i })
      end
      actions[count + 1] = figures('called', 3, { served = false })
      model:take { sample('one', seconds, actions) }
    end
    at(1)
    at(2)
    return model
  end

  local function actions_of(lines)
    local list = {}
    for _, line in ipairs(lines) do list[#list + 1] = line:match '^(action%-%d+)' end
    return list
  end

  local function press(state, keys)
    for _, key in ipairs(view.keys(keys)) do assert.is_true(view.press(state, key)) end
  end

  it('fills any size, and never more', function()
    local model = model_of(50)
    for _, width in ipairs { 1, 12, 39, 40, 41, 80, 130 } do
      for _, height in ipairs { 1, 2, 7, 8, 9, 24, 60 } do
        local lines = view.frame(model, view.state(), width, height)
        local large = width >= view.COLUMNS_MIN and height >= view.ROWS_MIN
        assert.is_true(#lines <= height and (#lines == height or not large), width .. ' x ' .. height)
        for _, line in ipairs(lines) do assert.is_true(utf8.len(line) <= width) end
        if not large then assert.equal(('the terminal'):sub(1, width), lines[1]:sub(1, 12)) end
      end
    end
  end)

  it('is sorted by what the keys say', function()
    local model, state = model_of(9), view.state()
    local function first() return actions_of(view.frame(model, state, 120, 40))[1] end
    assert.equal('action-09', first())
    press(state, 'r')
    assert.equal('action-01', first())
    press(state, 'rsssss')
    assert.equal('queued', view.sortable[state.sort])
    assert.equal('action-01', first())
    press(state, 'ss')
    assert.equal('action', view.sortable[state.sort])
    assert.equal('action-01', first())
    press(state, 'r')
    assert.equal('action-09', first())
  end)

  it('has what the filter lets pass, as it is typed', function()
    local model, state = model_of(20), view.state()
    press(state, '/')
    press(state, 'ION-1x\127')
    assert.equal(10, #actions_of(view.frame(model, state, 120, 40)))
    assert.matches('filter: ION%-1_', view.frame(model, state, 120, 40)[1])
    press(state, '\r')
    assert.equal('ION-1', state.filter)
    press(state, '/zzz\27') -- given up
    assert.equal(10, #actions_of(view.frame(model, state, 120, 40)))
    press(state, '\27')
    assert.equal(20, #actions_of(view.frame(model, state, 120, 40)))
    press(state, '/q')
    press(state, '\r')
    assert.equal(0, #actions_of(view.frame(model, state, 120, 40)))
  end)

  it('shows callers, all nodes together, and no nodes, on demand', function()
    local model, state = model_of(3), view.state()
    local function text() return table.concat((view.frame(model, state, 120, 30)), '\n') end
    assert.matches('STATE', text())
    press(state, 'n')
    assert.is_nil(text():find 'STATE')
    press(state, 'c')
    assert.matches('\nCALLED', text())
    assert.matches('\ncalled ', text())
    press(state, 'ct')
    assert.matches('\naction%-03', text())
  end)

  it('scrolls, and not past the end', function()
    local model, state = model_of(50), view.state()
    press(state, 'SS')
    local function shown() return actions_of((view.frame(model, state, 80, 20))) end
    local room = #shown()
    assert.equal('action-01', shown()[1])
    press(state, '\27[B\27[Bj')
    assert.equal('action-04', shown()[1])
    for _ = 1, 20 do press(state, '\27[6~') end
    assert.same({ 'action-50', room }, { shown()[room], #shown() })
    for _ = 1, 20 do press(state, '\27[5~') end
    assert.equal('action-01', shown()[1])
  end)

  it('ends with q, and knows no other key', function()
    local state = view.state()
    for _, key in ipairs { 'q', 'Q', '\4' } do assert.is_false(view.press(state, key)) end
    for byte = 0, 255 do
      local key = string.char(byte)
      if not key:find '[qQ\4]' then assert.is_true(view.press(state, key)) end
      state.typing = nil
    end
    assert.same({ '\27[A', 'x', '\27', '\27[5~', '\27OA' }, view.keys '\27[Ax\27\27[5~\27OA')
  end)

  it('shows no control characters of names', function()
    local model = models.new()
    model:take { sample('evil\27[2J', 1, { figures('a\27]0;x\7', 1) }) }
    for _, line in ipairs((view.frame(model, view.state(), 120, 20))) do assert.is_nil(line:find '%c') end
  end)
end)
