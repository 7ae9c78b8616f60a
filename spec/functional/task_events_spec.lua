--- task:on: who wants to know of the end of a task is told once.

local cluster = require 'spec.support.cluster'

-- luacheck: globals mesh report, ignore 431

cluster.describe('the events of a task', { 'mem' }, function(over)
  local a

  before_each(function() a = over.net:node('a') end)

  local function logged(text)
    local count = 0
    for line in over.net:log():gmatch '[^\n]+' do
      if line:find(text, 1, true) then count = count + 1 end
    end
    return count
  end

  it('come once each, with the results or the error', function()
    assert.same({ 'done 1 nil 3', 'also 1', 'error HANDLER_ERROR', 'error late' }, a:eval(function()
      local seen = {}
      local function note(...) seen[#seen + 1] = table.concat({ ... }, ' ') end
      local good = mesh.spawn(function()
        mesh.sleep(0.01)
        return 1, nil, 3
      end)
      local same = good:on('done', function(x, y, z) note('done', x, tostring(y), z) end)
      assert(same == good)
      good:on('done', function(x) note('also', x) end):on('error', note)
      mesh.sleep(0.05)
      local bad = mesh.spawn(function()
        mesh.sleep(0.01)
        error { code = 'HANDLER_ERROR' }
      end)
      bad:on('error', function(e) note('error', e.code) end):on('done', note)
      mesh.sleep(0.05)
      mesh.spawn(function() error 'late' end):on('error', function(e) note('error', e:match 'late') end)
      mesh.sleep(0.05)
      return seen
    end))
    assert.equal(0, logged 'task failed')
  end)

  it('come also to who asks after the end', function()
    assert.same({ 'a', 'b', 'c' }, a:eval(function()
      local seen = {}
      local task = mesh.spawn(function() return 'a' end)
      task:await()
      task:on('done', function(x) seen[1] = x end)
      mesh.sleep(0.01)
      task:on('done', function() seen[2] = 'b' end)
      task:on('error', function() seen[4] = 'never' end)
      local failed = mesh.spawn(function() error({ code = 'X', message = 'c' }) end)
      pcall(failed.await, failed)
      failed:on('error', function(e) seen[3] = e.message end)
      mesh.sleep(0.01)
      return seen
    end))
    assert.equal(0, logged 'task failed')
  end)

  it('of a cancelled task are an error', function()
    assert.same({ 'CANCELLED', 'cancelled' }, { a:eval(function()
      local code
      local task = mesh.spawn(function() mesh.sleep(60) end)
      task:on('error', function(e) code = e.code end):on('done', function() code = 'done' end)
      mesh.sleep(0.01)
      task:cancel()
      mesh.sleep(0.01)
      return code, task.status
    end) })
    assert.equal('CANCELLED', a:eval(function()
      local code
      local task = mesh.spawn(function() return 1 end)
      task:on('error', function(e) code = e.code end)
      task:cancel() -- before it began
      mesh.sleep(0.01)
      return code
    end))
  end)

  it('may fail themselves: that is logged, and concerns nobody else', function()
    assert.equal('told', a:eval(function()
      local seen
      local task = mesh.spawn(function() return 1 end)
      task:on('done', function() error 'in the first' end)
      task:on('done', function() seen = 'told' end)
      mesh.sleep(0.01)
      return seen
    end))
    assert.equal(1, logged 'in the first')
  end)

  it('leave an error that nobody listens to in the log, once', function()
    a:eval(function()
      mesh.spawn(function() error 'unseen' end):on('done', function() end)
      mesh.sleep(0.01)
    end)
    assert.equal(1, logged 'unseen')
    a:eval(function()
      local task = mesh.spawn(function()
        mesh.sleep(0.01)
        error 'caught'
      end)
      task:on('done', function() end)
      pcall(task.await, task)
      mesh.sleep(0.01)
    end)
    assert.equal(0, logged 'caught')
    local before = logged 'task failed'
    a:eval(function()
      local task = mesh.spawn(function()
        mesh.sleep(0.01)
        error 'broken off'
      end)
      task:on('done', function() end)
      task:cancel()
      mesh.sleep(0.05)
    end)
    assert.equal(before, logged 'task failed')
  end)

  it('come for a thousand listeners, and nothing is left', function()
    assert.equal(1000, a:eval(function()
      local count = 0
      local task = mesh.spawn(function() mesh.sleep(0.01) end)
      for _ = 1, 1000 do task:on('done', function() count = count + 1 end) end
      mesh.sleep(0.05)
      return count
    end))
    assert.equal(0, over.net:metrics().tasks_now)
  end)

  it('are done and error, of functions', function()
    for code, message in pairs {
      ["mesh.spawn(function() end):on('end', print)"] = "'done' or 'error' expected, got 'end'",
      ['mesh.spawn(function() end):on(5, print)'] = 'got number',
      ["mesh.spawn(function() end):on('done')"] = 'a function is expected, got nil',
    } do
      local err = a:fails('\n' .. code .. '\nreturn 1')
      assert.matches(':2: ', err)
      assert.matches(message, err)
    end
  end)
end)

cluster.describe('the duration of a task', { 'mem' }, function(over)
  it('is that until now, and then that to its end', function()
    local a = over.net:node('a')
    local running, ended, later = a:eval(function()
      local task = mesh.spawn(function() mesh.sleep(2) end)
      mesh.sleep(1)
      local running = task.duration
      task:await()
      local ended = task.duration
      mesh.sleep(1)
      return running, ended, task.duration
    end)
    assert.near(1, running, 0.1)
    assert.near(2, ended, 0.1)
    assert.equal(ended, later)
  end)
end)
