local on_loop = require 'spec.support.on_loop'

local run, fails = on_loop.run, on_loop.fails

describe("Lua's own functions", function()
  describe('io.popen', function()
    it('reads what a command writes, in all formats', function()
      assert.same({ 'a b', 42, 'x\n', 'rest' }, { run [[
        local f = io.popen "printf 'a b\n42 x\nrest'"
        local line, number, _, rest = f:read('l', 'n', 1, 'L')
        return line, number, rest, f:read 'a'
      ]] })
      assert.same({ 'one', 'two' }, (run [[
        local lines = {}
        for line in io.popen('echo one; echo two'):lines() do lines[#lines + 1] = line end
        return lines
      ]]))
    end)

    it('writes what a command reads', function()
      assert.equal('HELLO 1\n', (run [[
        local path = os.tmpname()
        local f = io.popen('tr a-z A-Z > ' .. path, 'w')
        assert(f:write('hello ', 1, '\n') == f)
        assert(f:close() == true)
        local text = fs.read(path)
        os.remove(path)
        return text
      ]]))
    end)

    it('tells how the command ended when it is closed', function()
      assert.same({ { true, 'exit', 0 }, { false, 'exit', 3 }, { false, 'signal', 9 } }, { run [[
        local function close(command)
          local ok, what, n = io.popen(command):close()
          return { ok or false, what, n }
        end
        return close 'true', close 'exit 3', close 'kill -9 $$'
      ]] })
      assert.is_true(run "local f = io.popen 'yes'; f:read(); return (select(2, f:close())) ~= nil")
    end)

    it('is a file to io.type, io.close and tostring', function()
      assert.same({ 'userdata', 'file', 'closed file', true, 'file (closed)' }, { run [[
        local f = io.popen 'true'
        local kind, open = type(f), io.type(f)
        local closed = io.close(f)
        return kind, open, io.type(f), closed, tostring(f)
      ]] })
      assert.same({ 'file', 'nil' }, { run 'return io.type(io.stdout), tostring(io.type {})' })
      assert.truthy(fails("local f = io.popen 'true'; f:close(); f:read()"):find 'closed file')
    end)

    it('reports misuse at the line of the caller', function()
      assert.truthy(fails('io.popen()'):find "^script:1: bad argument #1 to 'popen' %(string expected, got nil%)")
      assert.truthy(fails("io.popen('true', 'x')"):find "^script:1: bad argument #2 to 'popen' %(invalid mode%)")
      assert.truthy(fails("io.popen('true'):read 'x'"):find '^script:1: .*invalid format')
    end)
  end)

  describe('os.execute', function()
    it('returns what Lua returns', function()
      assert.same({ { true, 'exit', 0 }, { false, 'exit', 7 }, { false, 'signal', 15 }, true }, { run [[
        local function execute(command)
          local ok, what, n = os.execute(command)
          return { ok or false, what, n }
        end
        return execute 'true', execute 'exit 7', execute 'kill $$', os.execute()
      ]] })
      assert.truthy(fails('os.execute {}'):find "^script:1: bad argument #1 to 'execute'")
    end)
  end)

  it('hold up no timer while a command runs', function()
    local ticks = run [[
      local ticks = 0
      local ticker = task.spawn(function()
        while true do
          task.sleep(0.005)
          ticks = ticks + 1
        end
      end)
      os.execute 'sleep 0.2'
      local f <close> = io.popen 'sleep 0.2; echo done'
      assert(f:read() == 'done')
      ticker:cancel()
      return ticks
    ]]
    assert.is_true(ticks >= 20, ticks)
  end)

  it('end the command when the task is cancelled', function()
    assert.same({ 'TIMEOUT', 'TIMEOUT' }, { run [[
      return (catch(task.timeout, 0.05, os.execute, 'sleep 100; true')),
        (catch(task.timeout, 0.05, function() return io.popen('sleep 100; true'):read() end))
    ]] })
  end)

  it('are plain for other files', function()
    assert.equal('text', (run [[
      local path = os.tmpname()
      local f = io.open(path, 'w')
      f:write 'text\nmore'
      f:close()
      for line in io.lines(path) do assert(line == 'text') break end
      io.input(path)
      local text = io.read()
      assert(io.lines()() == 'more')
      io.close(io.input())
      os.remove(path)
      return text
    ]]))
  end)
end)
