--- `perilune log`, and what nodes tell of their logs.

local cluster = require 'spec.support.cluster'
local process = require 'spec.support.process'

-- luacheck: globals mesh report, ignore 431

cluster.describe('the log of a node', { 'mem', 'unix' }, function(over)
  local net

  before_each(function() net = over.net end)

  --- Two nodes of one process have one log here.
  local function say(node, ...)
    node:eval(function(from, to, level)
      local log = require 'perilune.log'
      for i = from, to do log[level or 'info']('said', { i = i }) end
    end, ...)
  end

  local function read(...)
    local text, gone = {}, 0
    for part, lost in mesh.with { node = 'b', idle = 0 }.stream('_perilune.log', ...) do
      text[#text + 1], gone = part, gone + lost
    end
    return table.concat(text), gone
  end

  it('is told by any node, the newest lines of a level', function()
    local b = net:node('b')
    local a = net:node('a', { peers = { b } })
    a:eval(function() mesh.ping 'b' end) -- both have logged their link
    say(a, 1, 5)
    say(a, 6, 6, 'warn')
    local text, lost = a:eval(read, 'info', 3)
    assert.matches('^%S+ info  said i=4\n%S+ info  said i=5\n%S+ warn  said i=6\n$', text)
    assert.equal(0, lost)
    assert.matches('^%S+ warn  said i=6\n$', (a:eval(read, 'warn', 100)))
    assert.matches('said i=1\n', (a:eval(read)))
    assert.equal('', (a:eval(read, 'error')))
    assert.equal('', (a:eval(read, nil, 0)))
  end)

  it('goes on with new lines until the node stops', function()
    local b = net:node('b')
    local a = net:node('a', { peers = { b } })
    local reader = a:start(function()
      for text in mesh.with { node = 'b', idle = 0 }.stream('_perilune.log', 'warn', 0, true) do report(text) end
      return 'over'
    end)
    net:advance(0.3)
    say(a, 1, 2, 'warn')
    a:wait_reports(1)
    say(a, 3, 3, 'warn')
    a:wait_reports(2)
    assert.matches('^%S+ warn  said i=1\n%S+ warn  said i=2\n$', a:reported()[1])
    assert.matches('^%S+ warn  said i=3\n$', a:reported()[2])
    b:finish(5)
    assert.equal('over', reader:wait())
  end)

  it('ends for who has read enough', function()
    local b = net:node('b')
    local a = net:node('a', { peers = { b } })
    a:eval(function()
      local stream <close> = mesh.with { node = 'b' }.stream('_perilune.log', nil, 0, true) -- luacheck: ignore
      mesh.sleep(0.15)
    end)
    net:advance(0.3)
    assert.equal(0, net:metrics().requests_now)
  end)

  it('refuses what makes no sense', function()
    local b = net:node('b')
    local a = net:node('a', { peers = { b } })
    for _, args in ipairs {
      { 'loud' }, { 'off' }, { 5 }, { 'info', -1 }, { 'info', 'x' }, { 'info', 1, 2 }, { 'info', 2, true, 4 },
    } do
      assert.equal('INVALID', a:fails(read, table.unpack(args)).code)
    end
    assert.equal('STREAM_EXPECTED', a:fails(function() mesh.with { node = 'b' }.call '_perilune.log' end).code)
  end)
end)

cluster.describe('a reader of a log that is slow', { 'mem' }, function(over)
  it('finds lines gone, and is told how many, while the node goes on', function()
    local b = over.net:node('b', {}, function()
      local log = require 'perilune.log'
      mesh.action('chat', function(n)
        for _ = 1, n do log.info(('x'):rep(1000)) end
        return true
      end)
    end)
    local a = over.net:node('a', { peers = { b } })
    local counted = a:start(function()
      local lines, gone = 0, 0
      local s <close> = mesh.with { node = 'b', idle = 0 }.stream('_perilune.log', 'info', 1, true)
      s:next()
      mesh.sleep(10)
      repeat
        local more, text, lost = s:next()
        if more then
          gone = gone + lost
          for _ in text:gmatch '\n' do lines = lines + 1 end
        end
      until not more or lines + gone >= 3000
      return lines, gone
    end)
    over.net:advance(1)
    for _ = 1, 30 do
      assert.is_true((a:eval(function() return mesh.call('chat', 100) end)))
      over.net:advance(0.2)
    end
    local lines, gone = counted:wait()
    assert.is_true(lines + gone >= 3000)
    assert.is_true(gone > 0)
    assert.is_true(lines >= 200) -- what was kept at the end, and what was on the way
  end)
end)

describe('perilune log', function()
  local dir

  local TALKER = [[
    local mesh = require 'perilune'
    local log = require 'perilune.log'
    mesh.action('say', function(text, level) log[level or 'info'](text) end)
  ]]

  local function perilune(...) return process.run({ process.perilune, ... }, { cwd = dir }) end

  local function start(name)
    local p = process.start({ process.perilune, 'run', 'talker.lua', '--name', name }, { cwd = dir })
    p:wait_line '^ready '
    return p
  end

  before_each(function() dir = process.temp_dir { ['talker.lua'] = TALKER } end)

  it('prints the newest lines of a node, and of all with their names', function()
    start 'one'
    assert.equal(0, perilune('call', 'say', '"hello"').code)
    assert.equal(0, perilune('call', 'say', '"ouch"', '"warn"').code)
    local all = perilune('log')
    assert.same({ 0, '' }, { all.code, all.stderr })
    assert.matches('info  listening address=unix.-\n.- info  hello\n.- warn  ouch\n', all.stdout)
    assert.matches('^%S+ warn  ouch\n$', perilune('log', '--node', 'one', '--level', 'warn').stdout)
    assert.matches('^%S+ warn  ouch\n$', perilune('log', '--lines', '1').stdout)
    start 'two'
    local both = perilune('log')
    assert.equal(0, both.code, both.stderr)
    assert.matches('one  %S+ warn  ouch\n.*two  %S+ info  listening', both.stdout)
  end)

  it('follows a log until the node stops', function()
    local one = start 'one'
    local follower = process.start({ process.perilune, 'log', '--follow', '--lines', '0' }, { cwd = dir })
    for i = 1, 100 do -- until it is there
      perilune('call', 'say', ('"here %d"'):format(i))
      if follower:stdout():find 'here' then break end
    end
    follower:wait_line '^%S+ info  here'
    perilune('call', 'say', '"again"')
    follower:wait_line '^%S+ info  again$'
    one:kill 'TERM'
    assert.equal(0, follower:wait())
    assert.equal('', follower:stderr())
  end)

  it('ends quietly when nobody reads it any more', function()
    start 'one'
    local follower = process.start({ process.perilune, 'log', '--follow' }, { cwd = dir })
    follower:wait_line 'listening'
    follower:close_output 'stdout'
    assert.equal(0, follower:wait())
    assert.equal('', follower:stderr())
  end)

  it('tells what is wrong', function()
    local function fails(code, pattern, ...)
      local result = perilune(...)
      assert.equal(code, result.code)
      assert.matches(pattern, result.stderr)
      assert.equal('', result.stdout)
    end
    fails(3, '^CONNECT_FAILED: ', 'log')
    start 'one'
    fails(2, "^INVALID: %-%-level: 'loud' is none of debug, info, warn and error\n", 'log', '--level', 'loud')
    fails(2, '^INVALID: %-%-lines is a whole number\n', 'log', '--lines', '1.5')
    fails(2, '^INVALID: %-%-lines: ', 'log', '--lines', 'x')
    fails(2, "^INVALID: unexpected argument 'x'", 'log', 'x')
    fails(1, '^NO_ROUTE: ', 'log', '--node', 'nobody')
  end)
end)
