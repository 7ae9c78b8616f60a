--- mesh.offload: what only computes is done elsewhere, and its caller waits.

local cluster = require 'spec.support.cluster'

-- luacheck: globals mesh report kept, ignore 111 112 113

local WORK = 'spec.support.offload_work'

cluster.describe('offloaded work', { 'mem', 'tcp' }, function(over)
  local function node(options, main) return over.net:node('b', options or {}, main) end

  it('is a function of a module, with any arguments and results', function()
    local b = node()
    assert.same({ 6, 'added' }, { b:eval(function(work) return mesh.offload(work, 'add', 1, 2, 3) end, WORK) })
  end)

  it('is a function that uses no local around it, but globals', function()
    local b = node()
    assert.same({ '1-nil', 3, '[1]' }, { b:eval(function()
      return mesh.offload(function(a, missing, c)
        return a .. '-' .. tostring(missing), math.max(a, c), require('perilune.json').encode { 1 }
      end, 1, nil, 3)
    end) })
  end)

  it('is done while the caller alone waits', function()
    local b = node({}, function() mesh.action('quick', function() return 'here' end) end)
    assert.same({ 'here', false, 2e7 }, { b:eval(function()
      local done
      local task = mesh.spawn(function()
        local n = mesh.offload(function(n)
          local sum = 0
          for _ = 1, n do sum = sum + 1 end
          return sum
        end, 20000000)
        done = n
        return n
      end)
      mesh.sleep(0)
      local quick = mesh.call 'quick'
      return quick, done ~= nil, task:await()
    end) })
  end)

  it('gets nested tables, strings of any bytes, null and large numbers as they are', function()
    local b = node()
    local same = b:eval(function()
      local long = ('\0\255long'):rep(50000)
      local t = mesh.offload(function(t)
        t.seen = #t.long
        return t
      end, { list = { 1, { 2 } }, long = long, null = mesh.null, int = math.maxinteger, float = 0.5, [1] = nil })
      return t.long == long and t.seen == #long and t.null == mesh.null and t.int == math.maxinteger and t.float == 0.5
        and t.list[2][1] == 2
    end)
    assert.is_true(same)
  end)

  describe('that cannot begin', function()
    it('says which local a function would need', function()
      local text = node():fails(function()
        local around = 1
        mesh.offload(function() return around end)
      end)
      assert.matches("mesh.offload: the function uses the local 'around' around it", tostring(text))
    end)

    it('names the argument that cannot go there, and the result that cannot come back', function()
      local b = node()
      local err = b:fails(function() mesh.offload(function() end, 1, { callback = print }) end)
      assert.same({ 'INVALID', 'args[2].callback is a function' }, { err.code, err.message })
      err = b:fails(function() mesh.offload(function() return 1, { coroutine.create(print) } end) end)
      assert.same({ 'INVALID', 'result[2][1] is a coroutine' }, { err.code, err.message })
    end)

    it('is refused when it is none', function()
      local b = node()
      for _, case in ipairs {
        { function() mesh.offload() end, 'a function, or the name of a module, is expected, got no value' },
        { function() mesh.offload(print) end, 'a function of C cannot be offloaded' },
        { function() mesh.offload 'math' end, "the name of a function of 'math' is expected, got no value" },
        { function() mesh.offload('math', 'nothing') end, "the module 'math' has no function 'nothing'" },
        { function() mesh.offload('no.such.module', 'f') end, "module 'no.such.module' not found" },
        { function()
          local _ENV <const> = setmetatable({}, { __index = _ENV }) -- luacheck: ignore 211
          mesh.offload(function() return tostring(1) end)
        end, 'an _ENV of its own' },
      } do
        local err = b:fails(case[1])
        assert.truthy(tostring(err.text or err):find(case[2], 1, true), tostring(err.text or err))
      end
    end)

    it('is refused where it would be more than a message may have', function()
      local b = node { max_message = 10000 }
      local err = b:fails(function() mesh.offload(function() end, ('x'):rep(20000)) end)
      assert.equal('TOO_LARGE', err.code)
      err = b:fails(function() mesh.offload(function() return ('x'):rep(20000) end) end)
      assert.equal('TOO_LARGE', err.code)
    end)
  end)

  describe('that fails', function()
    it('raises the error with its code, message and details', function()
      local err = node():fails(function(work) mesh.offload(work, 'fail', { at = 7 }) end, WORK)
      assert.same({ 'MINE', 'no such luck', 'executed', 2, { at = 7 } },
        { err.code, err.message, err.outcome, err.retry_after, err.details })
    end)

    it('raises other values as an error with their text', function()
      local b = node()
      local err = b:fails(function() mesh.offload(function() error 'oops' end) end)
      assert.equal('HANDLER_ERROR', err.code)
      assert.matches('offload_spec.lua:%d+: oops$', err.message)
      err = b:fails(function(work) mesh.offload(work, 'fail_with', nil) end, WORK)
      assert.equal('error object is nil', err.message)
    end)

    it('has one traceback over the two VMs, and over nodes', function()
      local b = node({}, function()
        mesh.action('outer', function(work) mesh.offload(work, 'fail') end)
      end)
      local a = over.net:node('a', { peers = { b } })
      local err = a:fails(function(work) mesh.call('outer', work) end, WORK)
      assert.matches("offload_work.lua:%d+: in .-deep'.-was offloaded here:.-offload_spec.lua:%d+: in function",
        err.traceback)
    end)
  end)

  it('has no mesh, and nothing to wait for', function()
    local b = node()
    for what, code in pairs {
      ['mesh.call'] = function(work) mesh.offload(work, 'call') end,
      ['mesh.sleep'] = function() mesh.offload(function() require 'perilune'.sleep(1) end) end,
      ['mesh.offload'] = function() mesh.offload(function() require 'perilune'.offload(print) end) end,
      ['mesh.state'] = function() mesh.offload(function() require 'perilune'.state.x = 1 end) end,
      ['fs.read'] = function() mesh.offload(function() return require 'perilune.fs'.read '/etc/hostname' end) end,
      ['perilune.core.process'] = function() mesh.offload(function() os.execute 'true' end) end,
      ['os.exit'] = function() mesh.offload(function() os.exit(1) end) end,
      ['coroutine.yield'] = function() mesh.offload(function() coroutine.yield(1) end) end,
    } do
      local err = b:fails(code, WORK)
      assert.same({ 'UNSUPPORTED', 'not available in offloaded code: ' .. what }, { err.code, err.message })
    end
  end)

  it('has the language and modules that only compute', function()
    assert.same({ '{"a":[1,null]}', 32, 3, 'number', '2000-01-01T00:00:00Z' }, { node():eval(function()
      return mesh.offload(function()
        local own = require 'perilune'
        local generator = coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end)
        local last
        for _ = 1, 3 do last = generator() end
        return require 'perilune.json'.encode { a = { 1, own.null } },
          #require 'perilune.crypto'.sha256 'a', last, type(own.now()),
          require 'perilune.time'.format(946684800)
      end)
    end) })
  end)

  describe('without an end', function()
    it('is ended with CPU_LIMIT, whatever it catches', function()
      local b = node { offload_cpu_limit = 0.05 }
      for _, code in ipairs {
        function() mesh.offload(function() while true do end end) end,
        function() mesh.offload(function() while true do pcall(function() while true do end end) end end) end,
        function()
          mesh.offload(function() table.sort({ 1, 2, 3 }, function() while true do end end) end)
        end,
      } do
        local err = b:fails(code)
        assert.equal('CPU_LIMIT', err.code)
      end
      assert.equal(3, b:eval(function(work) return (mesh.offload(work, 'add', 1, 2)) end, WORK))
    end)

    it('is ended with MEMORY_LIMIT when it takes too much', function()
      local b = node { memory_limit = 8 * 1024 * 1024 }
      local err = b:fails(function()
        mesh.offload(function()
          local t = {}
          while true do t[#t + 1] = ('x'):rep(10000) .. #t end
        end)
      end)
      assert.equal('MEMORY_LIMIT', err.code)
      assert.equal(3, b:eval(function(work) return (mesh.offload(work, 'add', 1, 2)) end, WORK))
    end)
  end)

  it('finds modules as the one before it has left them', function()
    local b = node { offload_threads = 1 }
    -- Threads of others may still be there, and take some of them.
    assert.is_true(b:eval(function(work)
      local most = 0
      for _ = 1, 20 do most = math.max(most, (mesh.offload(work, 'counted'))) end
      return most
    end, WORK) >= 3)
  end)

  it('finds nothing of what an older version of the script has left', function()
    local b = node({ offload_threads = 1 }, function()
      mesh.action('count', function(work) return mesh.offload(work, 'counted') end)
    end)
    local function count() return b:eval(function(work) return mesh.call('count', work) end, WORK) end
    local most = 0
    for _ = 1, 20 do most = math.max(most, (count())) end
    assert.is_true(most >= 3)
    b:reloaded(function()
      mesh.action('count', function(work) return 'new', mesh.offload(work, 'counted') end)
    end)
    assert.same({ 'new', 1 }, { count() })
  end)
end)

describe('threads for offloaded work', function()
  local net
  before_each(function() net = cluster.new 'tcp' end)
  after_each(function() net:finish() end)

  local function node(options, main) return net:node('b', options or {}, main) end

  --- Waits until no job runs, or waits.
  local function wait_idle(b)
    net:wait(function()
      return b:eval(function()
        local m = mesh.metrics()
        return m.offload_running_now + m.offload_queued_now
      end) == 0
    end, 'the end of all jobs')
  end

  it('end what nobody waits for any more, also where it cannot be interrupted', function()
    local b = node()
    for _, code in ipairs {
      function() mesh.offload(function() while true do end end) end,
      function() mesh.offload(function() while true do pcall(function() while true do end end) end end) end,
      function() mesh.offload(function() table.sort({ 1, 2, 3 }, function() while true do end end) end) end,
      function()
        mesh.offload(function()
          local _ <close> = setmetatable({}, { __close = function() while true do end end })
          while true do end
        end)
      end,
    } do
      local job = b:start(code)
      net:wait(function()
        return b:eval(function() return mesh.metrics().offload_running_now end) == 1
      end, 'the job')
      job:cancel()
      net:wait(function() return job:ended() end, 'the end of who waits')
      assert.equal('CANCELLED', job:failure().code)
      wait_idle(b)
    end
  end)

  it('end a job with the deadline of the call that it works for', function()
    local b = node({}, function()
      mesh.action('compute', function() return mesh.offload(function() while true do end end) end)
    end)
    local a = net:node('a', { peers = { b } })
    local err = a:fails(function() return mesh.with { timeout = 0.1 }.call 'compute' end)
    assert.equal('TIMEOUT', err.code)
    wait_idle(b)
  end)

  it('let the node end', function()
    local b = node { drain = 0 }
    for _ = 1, 3 do b:start(function() return mesh.offload(function() while true do end end) end) end
    net:advance(0.01)
    b:finish(0)
  end)

  it('have their jobs told by ps, and counted', function()
    local b = node { offload_threads = 1 }
    local jobs = {}
    for i = 1, 3 do jobs[i] = b:start(function() return mesh.offload(function() while true do end end) end) end
    local m
    net:wait(function()
      m = b:eval(function() return mesh.metrics() end)
      return m.offload_running_now == 1 and m.offload_queued_now == 2
    end, 'one that runs and two that wait')
    local list = b:eval(function() return mesh.with { node = 'b' }.call '_perilune.ps' end)
    local waiting = 0
    for _, group in ipairs(list.groups) do
      if group.waits_for == 'mesh.offload' then waiting = waiting + group.count end
    end
    assert.equal(3, waiting)
    for _, job in ipairs(jobs) do job:cancel() end
    wait_idle(b)
    assert.is_true(m.offload_jobs >= 3)
  end)

  it('refuse with BUSY, and say when to come again, when too much waits', function()
    local b = node { offload_threads = 1 }
    local err, waiting = b:eval(function()
      local tasks = {}
      for i = 1, 1200 do
        tasks[i] = mesh.spawn(function() return mesh.offload(function() while true do end end) end)
        while i == 1 and mesh.metrics().offload_running_now == 0 do mesh.sleep(0.001) end -- it leaves the queue
      end
      local refused
      for i = 1, #tasks do
        local task = tasks[i]
        if i > 1100 then
          local _, err = pcall(task.await, task)
          refused = err
        end
      end
      local waiting = mesh.metrics().offload_queued_now
      for _, task in ipairs(tasks) do task:cancel() end
      return { code = refused.code, outcome = refused.outcome, retry = refused.retry_after }, waiting
    end)
    assert.same({ 'BUSY', 'not_executed' }, { err.code, err.outcome })
    assert.is_true(err.retry > 0 and err.retry <= 10)
    assert.equal(1024, waiting)
    wait_idle(b)
  end)

  it('end what a background task has begun, when another version takes its place', function()
    local b = node({}, function()
      mesh.spawn(function() mesh.offload(function() while true do end end) end)
      mesh.action('one', function() return 1 end)
    end)
    net:wait(function()
      return b:eval(function() return mesh.metrics().offload_running_now end) == 1
    end, 'the job')
    b:reloaded(function() mesh.action('one', function() return 2 end) end)
    wait_idle(b)
    assert.equal(2, b:eval(function() return mesh.call 'one' end))
  end)

  it('keep no VM that holds much', function()
    local b = node { offload_threads = 1 }
    local function vms() return b:eval(function() return mesh.metrics().offload_vms_now end) end
    assert.equal(20, b:eval(function()
      return mesh.offload(function()
        kept = {}
        for i = 1, 20 do kept[i] = ('x'):rep(1024 * 1024) end
        return #kept
      end)
    end))
    net:wait(function() return vms() == 0 end, 'the end of the VM')
    b:eval(function() mesh.offload(function() return ('x'):rep(20 * 1024 * 1024) == nil end) end)
    net:wait(function()
      local m = b:eval(function() return mesh.metrics() end)
      return m.offload_vms_now == 1 and m.offload_bytes_now > 0 and m.offload_bytes_now < 1024 * 1024
    end, 'a VM without its garbage')
  end)

  it('serve scripts in turn', function()
    local b = net:node('b', { offload_threads = 1 })
    local c = net:node('c', { offload_threads = 1 })
    local first = b:start(function() -- the only thread is taken until all are queued
      return mesh.offload(function()
        local x = 0
        for i = 1, 3e7 do x = x + i end
        return x
      end)
    end)
    net:wait(function()
      return b:eval(function() return mesh.metrics().offload_running_now end) == 1
    end, 'the first job')
    local order = {}
    local function queue(in_node, count)
      for _ = 1, count do
        order[#order + 1] = { node = in_node.name, job = in_node:start(function()
          return mesh.offload(function() return os.clock() end)
        end) }
      end
    end
    queue(b, 10)
    queue(c, 2)
    first:wait()
    for _, entry in ipairs(order) do entry.at = entry.job:wait() end
    table.sort(order, function(x, y) return x.at < y.at end)
    local last_of_c
    for i, entry in ipairs(order) do
      if entry.node == 'c' then last_of_c = i end
    end
    assert.is_true(last_of_c <= 5, 'the last job of c was number ' .. last_of_c)
  end)

  it('leave the loop to others', function()
    local b = net:node('b', { offload_threads = 2 }, function() mesh.action('quick', function() end) end)
    local a = net:node('a', { peers = { b } })
    local best = math.huge
    for _ = 1, 3 do
      local jobs = {}
      for i = 1, 2 do
        jobs[i] = b:start(function() return mesh.offload(function() while true do end end) end)
      end
      local p99 = a:eval(function()
        local times = {}
        for i = 1, 200 do
          local began = mesh.now()
          mesh.call 'quick'
          times[i] = mesh.now() - began
        end
        table.sort(times)
        return times[198]
      end)
      for _, job in ipairs(jobs) do job:cancel() end
      best = math.min(best, p99)
      if best < 0.02 then break end
    end
    assert.is_true(best < 0.1 * cluster.factor, ('99 of 100 calls take up to %.1f ms'):format(best * 1000))
    assert.equal(0, net:metrics().stalls)
  end)
end)
