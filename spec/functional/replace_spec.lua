--- An action whose handler is replaced while calls run and wait.

local cluster = require 'spec.support.cluster'

-- luacheck: globals mesh report put, ignore 111 112 113

local function worker()
  --- Puts a handler that answers `tag` after a while under the name `v`.
  function put(tag, options)
    mesh.action('v', function(i)
      report(tag .. i)
      mesh.sleep(0.05)
      return tag
    end, options)
  end
end

cluster.describe('an action that is replaced', { 'mem' }, function(over)
  local a, b

  before_each(function()
    b = over.net:node('b', {}, worker)
    a = over.net:node('a', { peers = { b } })
  end)

  local function serve(tag, options) b:eval(function(...) put(...) end, tag, options) end

  --- `n` calls at once; the answers in the order of the calls.
  local function calls(n, from)
    return a:start(function(first, count)
      local tasks = {}
      for i = 1, count do
        tasks[i] = mesh.spawn(function()
          local ok, answer = pcall(mesh.call, 'v', first + i - 1)
          return ok and answer or answer.code
        end)
      end
      return mesh.all(tasks)
    end, from or 1, n)
  end

  it('answers calls that run with the old handler, and those that wait with the new one', function()
    serve('old', { concurrency = 2 })
    a:eval(function() mesh.wait 'v' end)
    local answers = calls(5)
    b:wait_reports(2)
    serve('new', { concurrency = 2 })
    assert.same({ 'old', 'old', 'new', 'new', 'new' }, (answers:wait()))
    assert.same({ 'old1', 'old2', 'new3', 'new4', 'new5' }, b:reported())
  end)

  it('counts the calls that run on the old handler in the bound of the new one', function()
    serve('old', { concurrency = 2 })
    a:eval(function() mesh.wait 'v' end)
    local first = calls(2)
    b:wait_reports(2)
    serve('new', { concurrency = 2 })
    local second = calls(1, 3)
    over.net:advance(0.03)
    assert.same({ 'old1', 'old2' }, b:reported())
    first:wait()
    assert.same({ 'new' }, (second:wait()))
  end)

  it('gives those that wait the slots that the new handler has more', function()
    serve('old', { concurrency = 1 })
    a:eval(function() mesh.wait 'v' end)
    local answers = calls(4)
    b:wait_reports(1)
    serve('new', { concurrency = 4 })
    over.net:advance(0.01)
    assert.same({ 'old1', 'new2', 'new3', 'new4' }, b:reported())
    answers:wait()
  end)

  it('loses no call when a queue of its own comes, goes or shrinks', function()
    serve('old', { concurrency = 1 })
    a:eval(function() mesh.wait 'v' end)
    local answers = calls(6)
    b:wait_reports(1)
    serve('own', { concurrency = 1, queue = 2 })
    over.net:advance(0.06)
    serve('shared', { concurrency = 1 })
    over.net:advance(0.05)
    serve('own', { concurrency = 1, queue = 0 })
    assert.same({ 'old', 'own', 'shared', 'own', 'own', 'own' }, (answers:wait()))
    assert.equal(0, over.net:metrics().requests_queued_now)
    assert.same({ 'own' }, (calls(1, 9):wait()))
  end)

  it('does not answer a new call with a run of the old handler where runs are shared', function()
    serve('old', { share = true })
    a:eval(function() mesh.wait 'v' end)
    local old = calls(1, 7)
    b:wait_reports(1)
    serve('new', { share = true })
    assert.same({ 'new' }, (calls(1, 7):wait()))
    assert.same({ 'old' }, (old:wait()))
  end)
end)
