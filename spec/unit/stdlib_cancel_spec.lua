local lfs = require 'lfs'
local on_loop = require 'spec.support.on_loop'

local function count(path)
  local n = 0
  for _ in lfs.dir(path) do n = n + 1 end
  return n
end

describe('the standard library', function()
  -- What libuv opens once for a process is no leak.
  setup(function() on_loop.run "process.run 'true'" end)

  -- Waits of every kind, broken off at every point: the harness asserts that nothing is left of them.
  for seed = 1, 4 do
    it('leaves nothing behind when tasks are cancelled at random, seed ' .. seed, function()
      local before = count '/proc/self/fd'
      local ended = on_loop.run([[
        local seed = ...
        math.randomseed(seed)
        local dns, crypto = require 'perilune.dns', require 'perilune.crypto'
        local test = require 'perilune.test'
        local dir <close> = test.temp_dir { a = ('line\n'):rep(10000) }
        local path = dir.path .. '/'
        os.execute("mkfifo '" .. path .. "fifo'")
        local shared = fs.open(path .. 'shared', 'w+')
        local bytes = ('x'):rep(300000)
        local works = {
          function() return fs.read(path .. 'a') end,
          function() for _ in fs.lines(path .. 'a') do task.sleep(0) end end,
          function() fs.write(path .. 'b', bytes, { atomic = true, sync = true }) end,
          function() return fs.read(path .. 'fifo') end,
          function() fs.write(path .. 'fifo', bytes) end,
          function()
            local f <close> = fs.open(path .. 'fifo')
            return f:read 'a'
          end,
          function() shared:write(bytes):seek('set', 0) end,
          function() return shared:read(10) end,
          function() for _ in fs.watch(dir.path) do end end,
          function() return fs.list(dir.path), fs.stat(dir.path) end,
          function() return crypto.sha256(bytes) end,
          function() return dns.resolve 'localhost' end,
          function() return process.run({ 'cat' }, { stdin = bytes }) end,
          function() return process.run({ 'sh', '-c', 'sleep 0.01; echo x' }, { timeout = 0.02 }) end,
          function()
            local p = process.spawn { 'cat' }
            p.stdin:write(bytes)
            return p.stdout:read 'a'
          end,
          function() return os.execute 'sleep 0.01' end,
          function()
            local f <close> = io.popen 'echo one; sleep 0.02; echo two'
            return f:read 'a'
          end,
        }
        local tasks = {}
        for i = 1, 300 do
          tasks[i] = task.spawn(works[math.random(#works)])
          if math.random() < 0.3 then task.sleep(math.random() * 0.003) end
          local victim = tasks[math.random(#tasks)]
          if math.random() < 0.7 then victim:cancel() end
        end
        task.sleep(0.05)
        for _, t in ipairs(tasks) do t:cancel() end
        local ended = 0
        for _, t in ipairs(tasks) do
          pcall(t.await, t)
          ended = ended + 1
        end
        return ended
      ]], seed)
      assert.equal(300, ended)
      for _ = 1, 2000 do
        if count '/proc/self/fd' <= before then break end
      end
      assert.is_true(count '/proc/self/fd' <= before)
    end)
  end
end)
