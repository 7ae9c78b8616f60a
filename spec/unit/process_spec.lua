local lfs = require 'lfs'
local on_loop = require 'spec.support.on_loop'
local support = require 'spec.support.process'

local run, fails = on_loop.run, on_loop.fails

--- The state letter of a process, nil when there is none.
local function state_of(pid)
  local f = io.open(('/proc/%d/stat'):format(pid))
  if not f then return nil end
  local text = f:read 'a'
  f:close()
  return text:match '%) (%a)'
end

local function count(path)
  local n = 0
  for _ in lfs.dir(path) do n = n + 1 end
  return n
end

describe('perilune.process', function()
  describe('run', function()
    it('returns the code and what was written', function()
      assert.same({ code = 3, stdout = 'out\n', stderr = 'err\n' },
        (run "return process.run { 'sh', '-c', 'echo out; echo err >&2; exit 3' }"))
      assert.same({ code = 0, stdout = 'a b\n', stderr = '' },
        (run "return process.run { cmd = 'echo', args = { 'a b' } }"))
      assert.equal(0, (run "return process.run('true').code"))
    end)

    it('feeds standard input, which is empty otherwise', function()
      local text = ('line\n'):rep(100000)
      assert.equal(text, run("return process.run({ 'cat' }, { stdin = ... }).stdout", text))
      assert.equal('', (run "return process.run({ 'cat' }).stdout"))
      assert.equal(0, run("return process.run({ 'true' }, { stdin = ... }).code", text))
    end)

    it('tells the signal that ended it', function()
      assert.same({ signal = 9, stdout = '', stderr = '' }, (run "return process.run { 'sh', '-c', 'kill -9 $$' }"))
    end)

    it('changes the environment and the folder', function()
      assert.equal('yes|none|/\n', (run [[
        return process.run({ 'sh', '-c', 'echo "$ONE|${HOME-none}|$(pwd)"' },
          { env = { ONE = 'yes', HOME = false }, cwd = '/' }).stdout
      ]]))
      assert.equal('A=1\n', (run [[
        return process.run({ '/usr/bin/env' }, { env = { A = 1 }, clear_env = true }).stdout
      ]]))
    end)

    it('names what could not be started', function()
      local code, message, errno = run "return catch(process.run, { '/no/such/program' })"
      assert.same({ 'IO_ERROR', 'start /no/such/program: no such file or directory', 'ENOENT' },
        { code, message, errno })
      assert.equal('ENOENT', select(3, run "return catch(process.run, 'true', { cwd = '/no/such/folder' })"))
    end)

    it('ends the process at its timeout, or when it writes too much', function()
      assert.equal('TIMEOUT', (run "return catch(process.run, { 'sleep', '100' }, { timeout = 0.05 })"))
      assert.equal('TOO_LARGE', (run "return catch(process.run, { 'yes' }, { max_output = 100000 })"))
      assert.equal(4, #run "return process.run({ 'printf', 'four' }, { max_output = 4 }).stdout")
    end)

    it('reports misuse at the line of the caller', function()
      assert.truthy(fails('process.run {}'):find '^script:1: bad argument #1 .*a command and its arguments expected')
      assert.truthy(fails("process.run({ 'x', {} })"):find 'word 2 is not a string')
      assert.truthy(fails("process.run('x', { env = { ['a=b'] = '1' } })"):find "bad name 'a=b'")
      assert.truthy(fails("process.run('x', { shell = true })"):find "unknown option 'shell' of process.run")
    end)
  end)

  describe('spawn', function()
    it('talks through pipes', function()
      assert.same({ 'HELLO', 'WORLD\n', 'end', 0 }, { run [[
        local p = process.spawn { 'tr', 'a-z', 'A-Z' }
        p.stdin:write('hello\n', 'world\n')
        p.stdin:close()
        local line, rest = p.stdout:read('l', 'L')
        assert(p.stdout:read() == nil and p.stderr:read 'a' == '')
        return line, rest, 'end', (p:wait())
      ]] })
    end)

    it('iterates over lines and chunks', function()
      assert.same({ { 'a', 'b' }, 'e\n' }, { run [[
        local p <close> = process.spawn { 'sh', '-c', 'echo a; echo b; echo e >&2' }
        local lines = {}
        for line in p.stdout:lines() do lines[#lines + 1] = line end
        local text = ''
        for chunk in p.stderr:chunks() do text = text .. chunk end
        return lines, text
      ]] })
    end)

    it('does not let a process that is not read go on without end', function()
      run [[
        local p <close> = process.spawn { 'yes' }
        for _ = 1, 100 do assert(p.stdout:read() == 'y') end
      ]]
    end)

    it('waits while the process does not read, and reports a broken pipe', function()
      assert.equal('TIMEOUT', (run [[
        local p <close> = process.spawn { 'sleep', '100' }
        return catch(task.timeout, 0.05, p.stdin.write, p.stdin, ('x'):rep(1000000))
      ]]))
      assert.equal('EPIPE', select(3, run [[
        local p <close> = process.spawn { 'true' }
        p:wait()
        return catch(p.stdin.write, p.stdin, 'x')
      ]]))
    end)

    it('signals the process, and says when it has ended', function()
      assert.same({ true, 15, false }, { run [[
        local p = process.spawn { 'sleep', '100' }
        local sent = p:kill()
        local _, signal = p:wait()
        return sent, signal, p:kill 'KILL'
      ]] })
      assert.truthy(fails("process.spawn('true'):kill 'BOOM'"):find "unknown signal 'BOOM'")
    end)

    it('loses no byte to a read that timed out', function()
      assert.equal('slow line', (run [[
        local p <close> = process.spawn { 'sh', '-c', 'printf slow; read x; echo " line"' }
        assert(catch(task.timeout, 0.05, p.stdout.read, p.stdout) == 'TIMEOUT')
        p.stdin:write '\n'
        return p.stdout:read()
      ]]))
    end)
  end)

  describe('ends and reaps a process', function()
    for name, source in pairs {
      ['when the task that runs it is cancelled'] = [[
        local t = task.spawn(process.run, { 'sh', '-c', 'echo $$ > ' .. ... .. '; sleep 100; true' })
        while not fs.exists(...) or fs.read(...) == '' do task.sleep(0.001) end
        t:cancel()
        catch(t.await, t)
      ]],
      ['when a cancelled task had started it'] = [[
        local path = ...
        local p
        local t = task.spawn(function()
          p = process.spawn { 'sleep', '100' }
          fs.write(path, tostring(p.pid))
          task.sleep(100)
        end)
        while not fs.exists(path) do task.sleep(0.001) end
        t:cancel()
        catch(t.await, t)
        assert(select(2, p:wait()) == 15)
      ]],
      ['when the variable that holds it is closed'] = [[
        local p <close> = process.spawn { 'sleep', '100' }
        fs.write(..., tostring(p.pid))
      ]],
      ['when nobody holds it any more'] = [[
        fs.write(..., tostring(process.spawn({ 'sleep', '100' }).pid))
        collectgarbage()
      ]],
      ['that ignores SIGTERM'] = [[
        local p <close> = process.spawn { 'sh', '-c', "trap '' TERM; echo ready; while :; do sleep 0.01; done" }
        p.stdout:read()
        fs.write(..., tostring(p.pid))
      ]],
    } do
      it(name, function()
        local path = support.temp_dir() .. '/pid'
        local before = count '/proc/self/fd'
        run(source, path)
        local f = assert(io.open(path))
        local pid = f:read 'n'
        f:close()
        assert.is_nil(state_of(pid))
        for _ = 1, 1000 do
          if count '/proc/self/fd' <= before then break end
        end
        assert.is_true(count '/proc/self/fd' <= before)
      end)
    end
  end)
end)
