local process = require 'spec.support.process'
local terminal = require 'spec.support.terminal'

local PRELUDE = [[
local mesh, stdio = require 'perilune', require 'perilune.stdio'
--- Runs `fn` beside a ticking timer and returns the number of ticks.
local function ticks_during(fn)
  local ticks = 0
  local function tick()
    while true do
      mesh.sleep(0.005)
      ticks = ticks + 1
    end
  end
  mesh.race { mesh.spawn(tick), mesh.spawn(fn) }
  return ticks
end
]]

local function start(source, options)
  local dir = process.temp_dir { ['app.lua'] = PRELUDE .. source }
  options = options or {}
  options.cwd = dir
  return process.start({ process.perilune, 'run', 'app.lua' }, options)
end

local function output(source, options)
  local p = start(source, options)
  assert.equal(0, p:wait(), p:stderr())
  return p:stdout()
end

describe('standard input', function()
  it('is read by io and stdio alike, from a pipe', function()
    assert.equal('1 one\n2 two\n3 42\n4 X\n5 rest\nof it', output([[
      io.write('1 ', io.read(), '\n', '2 ', io.stdin:read 'l', '\n')
      io.write('3 ', stdio.read 'n', '\n', '4 ', (io.read(2):sub(2)), '\n5 ', (stdio.read 'a':sub(2)))
      assert(io.read() == nil and stdio.read() == nil and io.read 'a' == '' and io.read(0) == nil)
    ]], { stdin = 'one\ntwo\n42\nX\nrest\nof it' }))
  end)

  it('is iterated over to its end', function()
    for _, lines in ipairs { 'io.lines()', 'io.stdin:lines()', 'stdio.lines()' } do
      assert.equal('a.b.c.', output('for line in ' .. lines .. " do io.write(line, '.') end", { stdin = 'a\nb\nc' }))
    end
  end)

  it('may be a file, or nothing', function()
    local dir = process.temp_dir {
      ['app.lua'] = "print(io.read(), io.read 'a', io.read())",
      ['in'] = 'first\nsecond\n',
    }
    local shell = ('exec "%s" run app.lua < in'):format(process.perilune)
    assert.equal('first\tsecond\n\tnil\n', process.run({ 'sh', '-c', shell }, { cwd = dir }).stdout)
    shell = ('exec "%s" run app.lua < /dev/null'):format(process.perilune)
    assert.equal('nil\t\tnil\n', process.run({ 'sh', '-c', shell }, { cwd = dir }).stdout)
  end)

  it('is waited for without holding up timers', function()
    local p = start([[
      local line
      local ticks = ticks_during(function() line = io.read() end)
      print(line, ticks > 5)
    ]], { stdin = true })
    process.run({ 'sleep', '0.2' })
    p:write 'late\n'
    p:wait_line '^late%s+true$'
    p:close_stdin()
    assert.equal(0, p:wait())
  end)

  it('keeps what had arrived for the read after one that timed out', function()
    local p = start([[
      print(pcall(mesh.timeout, 0.3, io.read) == false)
      print 'again'
      print(io.read())
    ]], { stdin = true })
    p:write 'half'
    p:wait_line '^again$'
    p:write ' line\n'
    p:wait_line '^half line$'
    p:close_stdin()
    assert.equal(0, p:wait())
  end)

  it('serves several tasks in turn', function()
    local p = start([[
      local tasks = {}
      for i = 1, 3 do tasks[i] = mesh.spawn(function() return io.read() end) end
      local lines = mesh.all(tasks)
      table.sort(lines)
      print(table.concat(lines, ' '))
    ]], { stdin = true })
    p:write 'a\nb\nc\n'
    p:wait_line '^a b c$'
    p:close_stdin()
    assert.equal(0, p:wait())
  end)

  describe('that told something once to a read that was broken off', function()
    --- A task cleans up for too long with a read, and is ended when what it reads has come, but not yet to it: the one
    --- that computes is the first to run again.
    local source = PRELUDE .. [[
      local sys = require 'perilune.core.sys'
      local function read()
        local ok, line, why = pcall(mesh.timeout, 5, io.read)
        return ok and line or ok and why or tostring(line)
      end
      local function read_in_vain()
        local text -- on a machine that stood still it has read in time
        local t = mesh.spawn(function()
          local _ <close> = setmetatable({}, { __close = function() text = read() end })
          mesh.sleep(60)
        end)
        mesh.sleep(0)
        t:cancel()
        mesh.sleep(0)
        local start = sys.monotonic()
        while sys.monotonic() - start < 0.4 do end
        pcall(t.await, t)
        return text
      end
      local function after(wait, ...)
        wait(...)
        print('then ' .. (read_in_vain() or read()) .. ', ' .. read())
      end
    ]]
    local options = '--cleanup-grace=0.2'

    it('tells the end of a terminal to the next one', function()
      local dir = process.temp_dir { ['app.lua'] = source .. 'mesh.spawn(after, io.read)' }
      local t = terminal.start({ process.perilune, 'run', 'app.lua', options }, { cwd = dir })
      t:type 'first\n\4last\n' -- at once: who reads the first line has the end before it
      t:wait_for '^then nil, last$'
      assert.equal(0, t:wait())
    end)

    it('tells the error of a connection to the next one', function()
      local dir = process.temp_dir {
        ['app.lua'] = source .. "print 'ready' mesh.spawn(after, require('perilune.fs').read, 'fifo')",
      }
      os.execute(("mkfifo '%s/fifo'"):format(dir))
      local command = 'echo "nobody reads this" >&0; exec "$@"'
      local p = process.start({ 'sh', '-c', command, 'sh', process.perilune, 'run', 'app.lua', options },
        { cwd = dir, stdin = true, connection = true })
      p:wait_line '^ready$'
      p:close_stdin()
      assert(io.open(dir .. '/fifo', 'w')):close()
      p:wait_line '^then .*connection reset by peer.*, nil$'
      assert.equal(0, p:wait())
    end)
  end)

  it('stays a blocking descriptor for those who share it', function()
    local dir = process.temp_dir { ['app.lua'] = 'io.read()' }
    local shell = ([[(echo line; sleep 0.3; echo more) | { "%s" run app.lua; cat; }]]):format(process.perilune)
    local result = process.run({ 'sh', '-c', shell }, { cwd = dir })
    assert.equal('more\n', result.stdout)
    assert.equal('', result.stderr)
  end)
end)

describe('standard output', function()
  it('keeps the order of print and stdio.write', function()
    assert.equal('a\nb1c\n', output "print 'a' stdio.write('b', 1) print 'c'")
  end)

  it('waits for a reader that is slow, while timers go on', function()
    local p = start([[
      local ticks = ticks_during(function() stdio.write(('x'):rep(4000000)) end)
      io.stderr:write('ticks ', tostring(ticks > 0), '\n')
    ]])
    p:wait_line('^ticks true$')
    assert.equal(0, p:wait())
    assert.is_true(#p:stdout() == 4000000)
  end)

  it('that is closed is an error, not the end of the process', function()
    local dir = process.temp_dir {
      ['app.lua'] = PRELUDE .. [[
        local ok, err = pcall(stdio.write, ('x'):rep(1000000))
        io.stderr:write(tostring(ok), ' ', err.details.errno, '\n')
      ]],
    }
    local shell = ('"%s" run app.lua | true'):format(process.perilune)
    assert.equal('false EPIPE\n', process.run({ 'sh', '-c', shell }, { cwd = dir }).stderr)
    shell = ('exec "%s" run app.lua > /dev/full'):format(process.perilune)
    assert.equal('false ENOSPC\n', process.run({ 'sh', '-c', shell }, { cwd = dir }).stderr)
  end)

  it('is no terminal here', function()
    assert.equal('false\tfalse\tnil\n', output "print(stdio.is_tty(), stdio.is_tty 'stdin', stdio.columns())")
  end)

  it('may be a terminal', function()
    local dir = process.temp_dir {
      ['app.lua'] = PRELUDE .. "print(stdio.is_tty(), math.type(stdio.columns() or 80), io.read())",
    }
    local command = ('stty cols 77; exec "%s" run app.lua'):format(process.perilune)
    local result = process.run({ 'script', '-qec', command, '/dev/null' }, { cwd = dir, stdin = 'typed\n' })
    assert.truthy(result.stdout:find 'true%s+integer%s+typed', result.stdout)
  end)
end)
