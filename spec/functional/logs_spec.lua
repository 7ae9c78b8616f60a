--- What a node writes to standard error while it runs.

local json = require 'dkjson'
local process = require 'spec.support.process'

local function start(text, ...)
  local dir = process.temp_dir { ['app.lua'] = text }
  return process.start({ process.perilune, 'run', 'app.lua', '--listen=tcp://127.0.0.1:0', ... }, { cwd = dir })
end

local function run(text, ...)
  local p = start("local log = require 'perilune.log' " .. text .. ' os.exit(0)', ...)
  assert.equal(0, (p:wait()))
  return p:stderr()
end

describe('the log of a node', function()
  it('is lines of time, level, text and fields', function()
    local log = run "log.info('it is done', { count = 3, who = 'a b', empty = '' })"
    assert.matches('%d+%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ info  it is done count=3 empty="" who="a b"\n', log)
  end)

  it('has the lines from a level on', function()
    local text = "for _, level in ipairs { 'debug', 'info', 'warn', 'error' } do log[level](level .. ' line') end"
    for level, first in pairs { debug = 1, info = 2, warn = 3, error = 4, off = 5 } do
      local log = run(text, '--log-level', level)
      for i, name in ipairs { 'debug', 'info', 'warn', 'error' } do
        assert.equal(i >= first, log:find(name .. ' line', 1, true) ~= nil, level .. ': ' .. log)
      end
    end
    assert.is_nil(run(text):find 'debug line')
  end)

  it('is an object a line with --log-format json', function()
    local log = run("log.warn('careful', { n = 1.5, ok = true, text = 'a\\nb' })", '--log-format=json')
    local found
    for line in log:gmatch '[^\n]+' do
      local object = json.decode(line)
      assert.is_table(object, line)
      if object.message == 'careful' then found = object end
    end
    assert.same({ n = 1.5, ok = true, text = 'a\nb', level = 'warn', message = 'careful', time = found.time }, found)
  end)

  it('cannot be forged by what others say', function()
    local log = run [[log.info('a\n2026-01-01T00:00:00.000Z error forged', { x = '1 y=2', ['k=v'] = 1 })]]
    assert.is_nil(log:find '\n2026%-01%-01T00:00:00%.000Z')
    assert.is_truthy(log:find([[info  "a\n2026-01-01T00:00:00.000Z error forged" "k=v"=1 x="1 y=2"]], 1, true), log)
  end)

  it('has the error of a task that nobody awaits once, with its traceback, and the node goes on', function()
    local p = start [[
      local mesh = require 'perilune'
      local function broken() error 'nobody sees this' end
      mesh.action('break', function() mesh.spawn(broken) end)
      mesh.action('failed', function() return mesh.metrics().tasks_failed end)
    ]]
    local url = p:wait_line 'ready .*listen=(%S+)'
    assert.equal('0\n', process.perilune_run('call', 'failed', '--peer', url).stdout)
    assert.equal(0, process.perilune_run('call', 'break', '--peer', url).code)
    assert.equal('1\n', process.perilune_run('call', 'failed', '--peer', url).stdout)
    local log = p:stderr()
    assert.equal(1, select(2, log:gsub('nobody sees this', '')))
    local line = log:match ' error task failed [^\n]*'
    assert.matches('app%.lua:2: nobody sees this" traceback="stack traceback:[^\n]*app%.lua:2:', line)
  end)

  it('does not stop a node when nobody reads it', function()
    local dir = process.temp_dir { ['app.lua'] = [[
      local mesh, log = require 'perilune', require 'perilune.log'
      mesh.action('chatter', function(n)
        for _ = 1, n do log.warn(('x'):rep(1000)) end
        return mesh.metrics().log_lines_lost
      end)
    ]] }
    local command = 'mkfifo log; exec 3<>log; exec %s run app.lua --listen unix://%s/sock 2>log'
    local p = process.start({ 'sh', '-c', command:format(process.perilune, dir) }, { cwd = dir })
    local answer
    repeat
      answer = process.perilune_run('call', 'chatter', '500', '--peer', 'unix://' .. dir .. '/sock')
    until answer.code ~= 3 or p:ended()
    assert.is_true(tonumber(answer.stdout) > 0, answer.stderr)
  end)
end)
