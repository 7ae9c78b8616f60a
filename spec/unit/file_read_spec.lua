--- Reading from open files, also by tasks that are gone before they have what they read.

local on_loop = require 'spec.support.on_loop'
local process = require 'spec.support.process'

local run = on_loop.run

describe('reading from a file', function()
  local dir

  before_each(function() dir = process.temp_dir() end)

  local function put(name, text)
    local f <close> = assert(io.open(dir .. '/' .. name, 'wb'))
    f:write(text)
  end

  it('that is broken off takes nothing from it, wherever it was with that', function()
    local numbers = {}
    for i = 1, 200000 do numbers[i] = ('%07d '):format(i) end
    local text = table.concat(numbers)
    put('f', text)
    local read, broken = run([[
      local sys = require 'perilune.core.sys'
      local core = require 'perilune.core.fs'
      local f = core.open(... .. '/f', core.RDONLY)
      local parts, broken = {}, 0
      while true do
        local t = task.spawn(function()
          parts[#parts + 1] = f:read(5000)
        end)
        task.sleep(0)
        local start, wait = sys.monotonic(), (#parts + broken) % 60 * 1e-6
        while sys.monotonic() - start < wait do end
        local before = #parts
        t:cancel()
        pcall(t.await, t)
        if #parts == before then broken = broken + 1 end
        if broken % 3 == 0 then
          local chunk = f:read(5000)
          if not chunk then break end
          parts[#parts + 1] = chunk
        end
      end
      return table.concat(parts), broken
    ]], dir)
    assert.is_true(broken > 0)
    assert.equal(#text, #read)
    assert.is_true(text == read)
  end)

  it('that is broken off does not change the position that is told and written to', function()
    put('f', ('x'):rep(100000))
    local at, text = run([[
      local path = ... .. '/f'
      local f = fs.open(path, 'r+')
      f:read(10)
      for _ = 1, 100 do
        local t = task.spawn(f.read, f, 90000)
        task.sleep(0)
        t:cancel()
        pcall(t.await, t)
      end
      local at = f:seek()
      f:write 'here'
      f:close()
      return at, fs.read(path)
    ]], dir)
    assert.equal(10, at)
    assert.is_true(text == ('x'):rep(10) .. 'here' .. ('x'):rep(99986))
  end)

  it('leaves to the next what a FIFO has brought to a task that was ended by force', function()
    os.execute(("mkfifo '%s/fifo'"):format(dir))
    assert.same({ '12', '345678', '90', 'line' }, (run([[
      local core = require 'perilune.core.fs'
      local sys = require 'perilune.core.sys'
      local path = ... .. '/fifo'
      local f = core.open(path, core.RDWR)
      local function put(text) -- without a wait
        local out <close> = io.open(path, 'r+')
        out:write(text)
      end
      --- Ends a task, while it cleans up, at the moment at which what it reads comes.
      local function read_in_vain(text)
        local got
        local t = task.spawn(function()
          local _ <close> = setmetatable({}, { __close = function() got = f:read() end })
          task.sleep(60)
        end)
        task.sleep(0)
        local start = sys.monotonic()
        t:cancel()
        task.sleep(0.25)
        put(text)
        while sys.monotonic() - start < 0.32 do end -- it is the first to run again
        pcall(t.await, t)
        return got
      end
      local got = read_in_vain '12345678'
      local function read(...) return task.timeout(2, f.read, f, ...) end
      local parts = { got and got:sub(1, 2) or read(2), got and got:sub(3) or read() }
      f:write '90'
      parts[3] = read()
      local reader = require('perilune.reader').new(f)
      local waiting
      task.spawn(function()
        task.sleep(0.05)
        waiting = task.spawn(reader.read, reader)
      end)
      got = read_in_vain 'line\n'
      if got then put(got) end
      parts[4] = task.timeout(2, waiting.await, waiting)
      return parts
    ]], dir)))
  end)

  it('goes on with what was read ahead from a FIFO that was written to meanwhile', function()
    os.execute(("mkfifo '%s/fifo'"):format(dir))
    assert.same({ 'one', 'two', 'three' }, run([[
      local f = fs.open(... .. '/fifo', 'r+')
      f:write 'one\ntwo\n'
      local lines = { f:read() }
      f:write 'three\n'
      for i = 2, 3 do lines[i] = task.timeout(5, f.read, f) end
      return lines
    ]], dir))
  end)
end)
