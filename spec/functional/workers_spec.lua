--- Scripts on worker threads: isolated, in replicas, and as the rest of the mesh sees them.

local json = require 'dkjson'
local latency = require 'spec.support.latency'
local nodes = require 'spec.support.nodes'
local process = require 'spec.support.process'

local HEAVY = [[
local mesh = require 'perilune'
mesh.action('who', function() return mesh.self().name end)
mesh.action('naps', function(s) mesh.sleep(s) return mesh.self().name end)
mesh.action('count', function(n) for i = 1, n do coroutine.yield(i) end return 'done' end)
mesh.action('sum', function() local n = 0 for x in mesh.input() do n = n + x end return n end)
mesh.action('back', function(x) return mesh.call('plain', x) end)
mesh.action('out', function(x) return mesh.call('elsewhere', x) end)
mesh.action('through', function(n) local t = 0 for i in mesh.stream('many', n) do t = t + i end return t end)
mesh.action('fails', function() error { code = 'OUT_OF_STOCK', message = 'no more' } end)
mesh.action('hit', function() mesh.shared:incr 'hits' return mesh.state:incr 'hits' end)
mesh.action('blocks', function() local f <close> = assert(io.open('fifo')) return f:read('l') end)
mesh.action('spins', function(s) local t = os.clock() while os.clock() - t < s do end return true end)
]]

local PLAIN = latency.CLOCK .. [[
local mesh = require 'perilune'
mesh.action('plain', function(x) return { x, mesh.self().name, mesh.context().caller.name } end)
mesh.action('many', function(n) for i = 1, n do coroutine.yield(i) end end)
mesh.action('slow', function()
  local _ <close> = setmetatable({}, { __close = function() closed = true end })
  mesh.sleep(60)
end)
mesh.action('closed', function() return closed end)
mesh.action('shared', function() return mesh.shared.hits end)
mesh.action('beat', function() return true end)
mesh.action('used', function() return (used()) end)
]]

local dir, url, p

--- Starts `plain.lua` and `heavy.lua` in one node, with the options.
local function start(options, files)
  dir = process.temp_dir(files or { ['plain.lua'] = PLAIN, ['heavy.lua'] = HEAVY })
  url = 'unix://' .. dir .. '/n.sock'
  local argv = { process.perilune, 'run', '--name=shop', '--listen=' .. url, '--heartbeat=10' }
  for _, word in ipairs(options) do argv[#argv + 1] = word end
  if not files then argv[#argv + 1], argv[#argv + 2] = 'plain.lua', 'heavy.lua' end
  p = process.start(argv, { cwd = dir })
  return p
end

local function serve(options, files)
  start(options, files):wait_line '^ready name=shop '
end

local function client() return nodes.start('client', { peers = { url } }) end

local function stop()
  p:kill 'TERM'
  assert.equal(0, p:wait())
end

describe('a script on worker threads', function()
  it('serves as if it were not, in both directions', function()
    serve { '--workers=1', '--isolate=heavy.lua' }
    local c = client()
    assert.equal('shop/heavy-1', c:eval "return mesh.call 'who'")
    assert.same({ 5, 'shop', 'shop/heavy-1' }, c:eval "return mesh.call('back', 5)")
    assert.same({ 10, 'done' }, c:eval [[
      local n, s <close> = 0, (mesh.stream('count', 10))
      for i in s do n = math.max(n, i) end
      return { n, s:result() }
    ]])
    assert.equal(6, c:eval [[
      local s <close> = (mesh.stream 'sum')
      for i = 1, 3 do s:send(i) end
      s:finish()
      return s:result()
    ]])
    assert.equal(5050, c:eval "return mesh.call('through', 100)")
    local err = c:fails "mesh.call 'fails'"
    assert.same({ 'OUT_OF_STOCK', 'executed' }, { err.code, err.outcome })
    stop()
  end)

  it('reaches other nodes through the node', function()
    serve { '--workers=1', '--isolate=all', '--replicas=plain.lua=1' }
    local c = client()
    c:eval "mesh.action('elsewhere', function(x) return x * 2 end)"
    c:wait_for "local ok, twice = pcall(mesh.call, 'out', 7) return ok and twice == 14"
    stop()
  end)

  it('is cancelled with its caller, and so are the calls that it makes', function()
    local files = { ['plain.lua'] = PLAIN, ['heavy.lua'] = HEAVY .. [[
      mesh.action('waits', function() return mesh.call 'slow' end)
    ]] }
    serve({ '--workers=1', '--isolate=heavy.lua', 'plain.lua', 'heavy.lua' }, files)
    local c = client()
    local err = c:fails "mesh.with { timeout = 0.2 }.call 'waits'"
    assert.equal('TIMEOUT', err.code)
    c:wait_for "return mesh.call 'closed'"
    stop()
  end)

  it('has a node of its own, which belongs to the node', function()
    serve { '--workers=2', '--replicas=heavy.lua=2' }
    local c = client()
    local names = c:eval [[
      local names, of = {}, {}
      for _, node in ipairs(mesh.nodes()) do
        names[#names + 1], of[node.name] = node.name, node.worker_of or ''
      end
      table.sort(names)
      return { names, of }
    ]]
    assert.same({ 'client', 'shop', 'shop/heavy-1', 'shop/heavy-2' }, names[1])
    assert.equal('', names[2].shop)
    assert.matches('^%x+$', names[2]['shop/heavy-1'])
    -- Who names the node means its workers, too.
    assert.matches('^shop/heavy%-', c:eval "return mesh.with { node = 'shop' }.call 'who'")
    assert.equal('shop/heavy-2', c:eval "return mesh.with { node = 'shop/heavy-2' }.call 'who'")
    local mem = process.perilune_run('mem', 'shop', '--peer=' .. url).stdout
    assert.matches('\nshop +plain%.lua .*\nshop/heavy%-1 +heavy%.lua .*\nshop/heavy%-2 +heavy%.lua ', mem)
    local one = process.perilune_run('mem', 'shop/heavy-1', '--peer=' .. url).stdout
    assert.is_nil(one:find('\nshop +') or one:find 'heavy%-2')
    stop()
  end)

  it('spreads calls over its replicas by what they have to do', function()
    serve { '--workers=2', '--replicas=heavy.lua=3' }
    local c = client()
    local per = c:eval [[
      local tasks, per = {}, {}
      for i = 1, 30 do tasks[i] = mesh.spawn(mesh.call, 'naps', 0.3) end
      for _, name in ipairs(mesh.all(tasks)) do per[name] = (per[name] or 0) + 1 end
      return per
    ]]
    assert.same({ ['shop/heavy-1'] = 10, ['shop/heavy-2'] = 10, ['shop/heavy-3'] = 10 }, per)
    stop()
  end)

  it('shares mesh.state with its replicas, and mesh.shared with all of the node', function()
    serve { '--workers=2', '--replicas=2', '--replicas=plain.lua=1' }
    local c = client()
    local most = c:eval [[
      local tasks, most = {}, 0
      for i = 1, 40 do tasks[i] = mesh.spawn(mesh.call, 'hit') end
      for _, n in ipairs(mesh.all(tasks)) do most = math.max(most, n) end
      return most
    ]]
    assert.equal(40, most)
    assert.equal(40, c:eval "return mesh.call 'shared'")
    stop()
  end)

  it('does not hold up the node by what cannot be interrupted', function()
    serve { '--workers=1', '--isolate=heavy.lua' }
    assert(os.execute(('mkfifo %s/fifo'):format(dir)))
    local c = client()
    local call = c:begin "return mesh.call 'blocks'"
    p:wait_line 'a script holds up a worker in a function of C script=heavy.lua task=blocks id=%d+ at=heavy.lua:%d+'
    assert.is_true(c:eval "return mesh.call 'beat'")
    assert.is_false(call:ended())
    local f <close> = assert(io.open(dir .. '/fifo', 'w'))
    f:write 'on\n'
    f:flush()
    assert.equal('on', call:wait())
    stop()
  end)

  it('ends the process when it says so', function()
    serve({ '--workers=1', '--isolate=app.lua', 'app.lua' }, { ['app.lua'] = [[
      local mesh = require 'perilune'
      mesh.action('leave', function(code) os.exit(code) end)
    ]] })
    process.perilune_run('call', '--peer=' .. url, 'leave', '7')
    assert.equal(7, p:wait())
  end)

  it('ends the process when all scripts have', function()
    local r = process.run({ process.perilune, 'run', '--workers=1', '--replicas=2', 'app.lua', '--', 'a', 'b' },
      { cwd = process.temp_dir { ['app.lua'] = "require 'perilune'.self() print(arg[2])" } })
    assert.same({ 0, 'b\nb\n' }, { r.code, r.stdout })
  end)

  it('ends the process when it cannot be loaded', function()
    local r = process.run({ process.perilune, 'run', '--workers=1', '--isolate=all', 'app.lua' },
      { cwd = process.temp_dir { ['app.lua'] = 'error "no way"' } })
    assert.equal(1, r.code)
    assert.matches('app.lua:1: no way\n', r.stderr)
  end)

  it('lets running calls finish on a stop, and what they call', function()
    serve { '--workers=1', '--isolate=heavy.lua' }
    local c = client()
    local call = c:begin "return mesh.call('naps', 0.5)"
    c:eval "mesh.sleep(0.1)"
    p:kill 'TERM'
    assert.equal('shop/heavy-1', call:wait())
    assert.equal(0, p:wait())
  end)

  it('is reloaded with the others, all replicas of it', function()
    serve { '--workers=2', '--replicas=heavy.lua=2' }
    local f <close> = assert(io.open(dir .. '/heavy.lua', 'w'))
    f:write "local mesh = require 'perilune' mesh.action('who', function() return 'new' end)\n"
    f:close()
    local r = process.perilune_run('reload', '--peer=' .. url)
    assert.equal(0, r.code, r.stderr)
    local count = select(2, r.stdout:gsub('reloaded heavy%.lua generation 2 in %d+ ms:[^\n]*~who\n', ''))
    assert.equal(2, count, r.stdout)
    assert.matches('reloaded plain.lua generation 2', r.stdout, 1, true)
    for _ = 1, 4 do assert.equal('"new"\n', process.perilune_run('call', '--peer=' .. url, 'who').stdout) end
    stop()
  end)

  it('is reloaded in all replicas when it says so, when its file changes, and at SIGHUP', function()
    local function version(n)
      return ("local mesh = require 'perilune'\nmesh.action('v', function() return %d end)\n"):format(n)
        .. "mesh.action('again', function() mesh.reload() return mesh.self().name end)\n"
    end
    local function write(n)
      local file <close> = assert(io.open(dir .. '/app.new', 'w'))
      file:write(version(n))
      file:close()
      assert(os.rename(dir .. '/app.new', dir .. '/app.lua'))
    end
    serve({ '--workers=2', '--replicas=2', 'app.lua' }, { ['app.lua'] = version(1) })
    local c = client()
    local all = [[
      for i = 1, 2 do
        if mesh.with { node = 'shop/app-' .. i }.call 'v' ~= %d then return false end
      end
      return true
    ]]
    assert.is_true(c:eval(all:format(1)))
    write(2)
    c:eval "return mesh.with { node = 'shop/app-2' }.call 'again'"
    c:wait_for(all:format(2))
    write(3)
    p:kill 'HUP'
    c:wait_for(all:format(3))
    stop()

    serve({ '--watch', '--workers=2', '--replicas=2', 'app.lua' }, { ['app.lua'] = version(1) })
    write(2)
    for _ = 1, 2 do p:wait_line '^reloaded app.lua generation 2 in %d+ ms: ~again ~v$' end
    stop()
  end)

  it('leaves the node its time, while it computes for a second', function()
    serve { '--workers=1', '--isolate=heavy.lua' }
    local c = client()
    local late, computed = table.unpack(c:eval [[
      local busy = mesh.spawn(mesh.with { timeout = 60 }.call, 'spins', 1)
      local late, computed = {}, {}
      while busy.status ~= 'done' do
        local from, used = mesh.now(), mesh.call 'used'
        computed[#computed + 1] = mesh.call 'used' - used
        late[#late + 1] = (mesh.now() - from) / 2
        mesh.sleep(0.005)
      end
      table.sort(late)
      table.sort(computed)
      return { late, computed }
    ]])
    local half, p99 = latency.at_percentile(late, 50), latency.at_percentile(computed, 99)
    local patience = process.patience
    assert.is_true(half < 0.005 * patience, ('half of the calls took %g s'):format(half))
    assert.is_true(late[#late] < 0.5 * patience, ('one call took %g s'):format(late[#late]))
    assert.is_true(p99 < 0.005 * patience, ('the loop computed for %g s'):format(p99))
    stop()
  end)

  it('is seen by ps and mem, and its tasks are ended by kill', function()
    serve { '--workers=1', '--isolate=heavy.lua' }
    local c = client()
    local call = c:begin "return mesh.call('naps', 60)"
    local id
    c:wait_for [[return mesh.with { node = 'shop/heavy-1' }.call('_perilune.ps').count > 0]]
    local list = json.decode(process.perilune_run('ps', '--peer=' .. url, '--json').stdout)
    for _, node in ipairs(list) do
      for _, group in ipairs(node.groups) do
        if node.name == 'shop/heavy-1' and group.action == 'naps' then id = group.ids[1] end
      end
      if node.name == 'shop' then
        assert.same({ { script = 'heavy.lua', name = 'shop/heavy-1', state = 'serving', thread = 1, restarts = 0 } },
          node.workers)
      end
    end
    local killed = process.perilune_run('kill', '--peer=' .. url, tostring(id), 'shop/heavy-1')
    assert.equal(0, killed.code, killed.stderr)
    assert.equal('CANCELLED', call:failure().code)
    local mem = process.perilune_run('mem', '--peer=' .. url).stdout
    assert.matches('shop/heavy%-1 +heavy.lua', mem)
    assert.equal(1, select(2, mem:gsub('process, resident', '')))
    stop()
  end)

  it('is refused where it cannot be', function()
    local function fails(pattern, ...)
      local r = process.run({ process.perilune, 'run', 'app.lua', ... },
        { cwd = process.temp_dir { ['app.lua'] = "require 'perilune'.node { name = 'x' }" } })
      assert.equal(1, r.code)
      assert.matches(pattern, r.stderr)
    end
    fails('^INVALID: app.lua is to live on a worker thread, and none are allowed: give %-%-workers N', '--isolate=all')
    fails("^INVALID: isolate: 'b.lua' is none of the scripts that are run", '--workers=1', '--isolate=b.lua')
    fails("^INVALID: replicas: 'b.lua=2' is none of the scripts that are run", '--workers=1', '--replicas=b.lua=2')
    fails('not without relay', '--workers=1', '--isolate=all', '--relay=false')
    fails("mesh.node: name: the script lives on a worker thread", '--workers=1', '--isolate=all')
    local r = process.perilune_run('run', 'app.lua', '--replicas=none')
    assert.same({ 2, true }, { r.code, r.stderr:find("replicas: 'none' is not N or FILE=N", 1, true) ~= nil })
  end)
end)
