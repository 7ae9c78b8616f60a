local lfs = require 'lfs'
local on_loop = require 'spec.support.on_loop'
local process = require 'spec.support.process'

local run, fails = on_loop.run, on_loop.fails

describe('perilune.fs', function()
  local dir

  before_each(function() dir = process.temp_dir() end)

  local function put(name, text)
    local f = assert(io.open(dir .. '/' .. name, 'wb'))
    f:write(text)
    f:close()
  end

  local function get(name)
    local f = assert(io.open(dir .. '/' .. name, 'rb'))
    local text = f:read 'a'
    f:close()
    return text
  end

  local function descriptors()
    local n = 0
    for _ in lfs.dir '/proc/self/fd' do n = n + 1 end
    return n
  end

  describe('read', function()
    it('returns the whole file, whatever its bytes', function()
      local text = ('a\0\n\255'):rep(100000)
      put('f', text)
      assert.equal(text, run("return fs.read((...) .. '/f')", dir))
      put('empty', '')
      assert.equal('', run("return fs.read((...) .. '/empty')", dir))
    end)

    it('reads files that do not tell their size', function()
      assert.truthy(run("return fs.read '/proc/self/status'"):find 'Name:')
    end)

    it('names the file and the error of the system', function()
      local code, message, errno = run("return catch(fs.read, (...) .. '/none')", dir)
      assert.same({ 'IO_ERROR', ('read %s/none: no such file or directory'):format(dir), 'ENOENT' },
        { code, message, errno })
      assert.equal('EISDIR', select(3, run('return catch(fs.read, ...)', dir)))
    end)

    it('refuses what is larger than the limit, also without end', function()
      put('f', ('x'):rep(100))
      assert.equal('TOO_LARGE', (run("return catch(fs.read, (...) .. '/f', { max = 99 })", dir)))
      assert.equal(100, #run("return fs.read((...) .. '/f', { max = 100 })", dir))
      assert.equal('TOO_LARGE', (run "return catch(fs.read, '/dev/zero', { max = 1000000 })"))
    end)

    it('reports misuse at the line of the caller', function()
      assert.equal("script:1: bad argument #1 to 'fs.read' (string without NUL expected, got nil)",
        (fails '  fs.read()':gsub('^([^:]*:%d+:).*(bad)', '%1 %2')))
      assert.truthy(fails "fs.read('x', { size = 1 })":find "unknown option 'size' of fs.read")
      assert.truthy(fails "fs.read('x', { max = 'a' })":find "option 'max' of fs.read: integer expected, got string")
      assert.truthy(fails "fs.read('a\\0b')":find 'without NUL')
    end)
  end)

  describe('write', function()
    it('replaces, appends and creates exclusively', function()
      run([[
        local path = ... .. '/f'
        fs.write(path, 'one')
        fs.write(path, 'two')
        fs.write(path, '!', { append = true, sync = true })
      ]], dir)
      assert.equal('two!', get 'f')
      assert.equal('EEXIST', select(3, run("return catch(fs.write, (...) .. '/f', 'x', { exclusive = true })", dir)))
      assert.equal('two!', get 'f')
    end)

    it('replaces atomically, keeps permissions, follows links and leaves no temporary file', function()
      put('f', 'old')
      os.execute(("chmod 640 '%s/f'; ln -s f '%s/link'"):format(dir, dir))
      run("fs.write((...) .. '/link', 'new', { atomic = true, sync = true })", dir)
      assert.equal('new', get 'f')
      assert.equal('rw-r-----', lfs.attributes(dir .. '/f', 'permissions'))
      assert.equal('link', lfs.symlinkattributes(dir .. '/link', 'mode'))
      assert.same({ 'f', 'link' }, (run('return fs.list(...)', dir)))
    end)

    it('reports a full disk and leaves the old file', function()
      assert.equal('ENOSPC', select(3, run "return catch(fs.write, '/dev/full', 'x')"))
      put('f', 'old')
      local code = run([[
        local path = ... .. '/f'
        return catch(fs.write, path .. '/below', 'x', { atomic = true })
      ]], dir)
      assert.equal('IO_ERROR', code)
      assert.equal('old', get 'f')
    end)

    it('gives a new file the permissions asked for', function()
      run("fs.write((...) .. '/f', 'x', { mode = 6 * 64 })", dir)
      assert.equal('rw-------', lfs.attributes(dir .. '/f', 'permissions'))
    end)
  end)

  describe('open', function()
    it('reads by lines, numbers, counts and to the end', function()
      put('f', 'first\nsecond\n 42 0x1F -1.5e2 no\nrest\nof it')
      assert.same({ 'first', 'second\n', 42, 31, -150.0, ' no', 're', 'st\nof it' }, (run([[
        local f <close> = fs.open(... .. '/f')
        return { f:read(), f:read 'L', f:read 'n', f:read 'n', f:read('n', 'l', 2, 'a') }
      ]], dir)))
    end)

    it('returns nil at the end, and nothing after the first format that fails', function()
      put('f', 'x')
      assert.same({ 3, 'x' }, { run([[
        local f = fs.open(... .. '/f')
        local all = table.pack(f:read('l', 'l', 'a'))
        assert(all[2] == nil and f:read(0) == nil and f:read 'a' == '')
        f:close()
        return all.n + 1, all[1]
      ]], dir) })
    end)

    it('does not confuse what was read ahead with the position', function()
      put('f', 'line 1\nline 2\n')
      run([[
        local f = fs.open(... .. '/f', 'r+')
        assert(f:read() == 'line 1')
        assert(f:seek() == 7)
        f:write('LINE'):seek('set', 0)
        assert(f:read 'a' == 'line 1\nLINE 2\n')
        assert(f:seek('end', -2) == 12)
        assert(f:read(1) == '2')
        f:close()
      ]], dir)
    end)

    it('appends, truncates and creates as the mode says', function()
      put('f', 'a')
      run([[
        local path = ... .. '/f'
        local f <close> = fs.open(path, 'a')
        f:write('b', 1, '\n')
        f:sync()
        assert(fs.read(path) == 'ab1\n')
        fs.open(path, 'w'):close()
        assert(fs.read(path) == '')
        assert(select(3, catch(fs.open, path, 'wx')) == 'EEXIST')
      ]], dir)
      assert.truthy(fails("fs.open('x', 'rw')"):find("bad argument #2 to 'fs.open' (invalid mode 'rw')", 1, true))
    end)

    it('refuses a closed file, and closes twice', function()
      put('f', 'a')
      assert.equal('CLOSED', (run([[
        local f = fs.open(... .. '/f')
        f:close()
        f:close()
        return catch(f.read, f)
      ]], dir)))
    end)

    it('tells of a disk that is full', function()
      assert.equal('ENOSPC', select(3, run [[
        local f <close> = fs.open('/dev/full', 'w')
        return catch(f.write, f, 'x')
      ]]))
    end)

    it('closes the descriptors of files that were left or collected', function()
      put('f', 'a\nb\n')
      local before = descriptors()
      run([[
        local path = ... .. '/f'
        for _ = 1, 50 do
          fs.open(path)
          for _ in fs.lines(path) do break end
          local f <close> = fs.open(path)
        end
      ]], dir)
      for _ = 1, 1000 do
        if descriptors() <= before then break end
        lfs.attributes(dir) -- the threads close them within a moment
      end
      assert.is_true(descriptors() <= before)
    end)
  end)

  it('iterates over lines with and without a last newline', function()
    local long = ('x'):rep(200000)
    put('f', 'a\n\n' .. long .. '\r\nlast')
    assert.same({ 'a', '', long .. '\r', 'last' }, (run([[
      local all = {}
      for line in fs.lines(... .. '/f') do all[#all + 1] = line end
      return all
    ]], dir)))
    assert.same({ 'a\n', '\n' }, (run([[
      local all = {}
      for line in fs.lines(... .. '/f', { keep = true }) do
        all[#all + 1] = line
        if #all == 2 then break end
      end
      return all
    ]], dir)))
  end)

  it('iterates over chunks of the size asked for', function()
    put('f', ('x'):rep(10))
    assert.same({ 4, 4, 2 }, (run([[
      local sizes = {}
      for chunk in fs.chunks(... .. '/f', 4) do sizes[#sizes + 1] = #chunk end
      return sizes
    ]], dir)))
    assert.truthy(fails "fs.chunks('x', 0)":find 'out of range')
  end)

  it('tells what a path is', function()
    put('f', 'abc')
    os.execute(("ln -s f '%s/link'; mkfifo '%s/fifo'"):format(dir, dir))
    local stat = run("return fs.stat((...) .. '/f')", dir)
    assert.equal('file', stat.type)
    assert.equal(3, stat.size)
    assert.is_true(math.abs(stat.modified - os.time()) < 100)
    assert.same({ 'directory', 'file', 'link', 'fifo', 'device' }, (run([[
      local dir = ...
      return { fs.stat(dir).type, fs.stat(dir .. '/link').type, fs.stat(dir .. '/link', { follow = false }).type,
               fs.stat(dir .. '/fifo').type, fs.stat('/dev/null').type }
    ]], dir)))
    assert.same({ true, false, false }, { run([[
      local dir = ...
      return fs.exists(dir .. '/f'), fs.exists(dir .. '/none'), fs.exists(dir .. '/f/below')
    ]], dir) })
    assert.equal('ENAMETOOLONG', select(3, run("return catch(fs.exists, (...) .. ('/x'):rep(5000))", dir)))
  end)

  it('lists, makes, renames and removes', function()
    assert.same({ 'a', 'b' }, (run([[
      local dir = ...
      fs.mkdir(dir .. '/b')
      fs.mkdir(dir .. '/tree/of//folders/', { parents = true })
      fs.mkdir(dir .. '/tree/of/folders', { parents = true })
      fs.write(dir .. '/tree/of/file', 'x')
      os.execute(("ln -s /etc '%s/tree/link'"):format(dir))
      fs.rename(dir .. '/tree', dir .. '/a')
      local names = fs.list(dir)
      assert(select(3, catch(fs.remove, dir .. '/a')) == 'ENOTEMPTY')
      assert(select(3, catch(fs.mkdir, dir .. '/b')) == 'EEXIST')
      assert(select(3, catch(fs.mkdir, dir .. '/x/y')) == 'ENOENT')
      fs.remove(dir .. '/a', { recursive = true })
      fs.remove(dir .. '/b')
      assert(#fs.list(dir) == 0 and fs.exists '/etc/passwd')
      return names
    ]], dir)))
    assert.equal('ENOTDIR', select(3, run "return catch(fs.list, '/etc/passwd')"))
    assert.equal('ENOENT', select(3, run("return catch(fs.rename, (...) .. '/a', (...) .. '/b')", dir)))
  end)

  describe('a FIFO', function()
    before_each(function() os.execute(("mkfifo '%s/fifo'"):format(dir)) end)

    it('that nobody writes holds up no other file work, and its wait ends at once when cancelled', function()
      local spent = run([[
        local dir = ...
        for _ = 1, 100 do task.spawn(fs.read, dir .. '/fifo') end
        for i = 1, 100 do fs.write(dir .. '/f', tostring(i)) end
        assert(fs.read(dir .. '/f') == '100')
        local sys = require 'perilune.core.sys'
        local start = sys.monotonic()
        assert(catch(task.timeout, 0.05, fs.read, dir .. '/fifo') == 'TIMEOUT')
        os.execute("mkfifo '" .. dir .. "/other'")
        assert(catch(task.timeout, 0.05, fs.open, dir .. '/other', 'w') == 'TIMEOUT')
        return sys.monotonic() - start
      ]], dir)
      assert.is_true(spent < 0.3, spent)
    end)

    it('brings what its writer writes, and then its end', function()
      assert.equal('hello world', (run([[
        local fifo = ... .. '/fifo'
        local reader = task.spawn(fs.read, fifo)
        local f = fs.open(fifo, 'w')
        f:write 'hello '
        f:write 'world'
        f:close()
        return reader:await()
      ]], dir)))
      assert.equal(300000, (run([[
        local fifo = ... .. '/fifo'
        local writer = task.spawn(fs.write, fifo, ('x'):rep(300000))
        local n = 0
        for chunk in fs.chunks(fifo) do n = n + #chunk end
        writer:await()
        return n
      ]], dir)))
    end)

    it('whose reader is gone is a broken pipe, not the end of the process', function()
      assert.equal('EPIPE', select(3, run([[
        local fifo = ... .. '/fifo'
        local reader = task.spawn(fs.open, fifo)
        local f = fs.open(fifo, 'w')
        reader:await():close()
        return catch(f.write, f, ('x'):rep(100000))
      ]], dir)))
    end)
  end)

  it('detaches from a cancelled operation and closes what it opened', function()
    put('f', ('x'):rep(1000000))
    local before = descriptors()
    run([[
      local path = ... .. '/f'
      for _ = 1, 100 do
        local t = task.spawn(function() return fs.open(path):read 'a' end)
        task.sleep(0)
        t:cancel()
        assert(catch(t.await, t) == 'CANCELLED')
      end
    ]], dir)
    for _ = 1, 1000 do
      if descriptors() <= before then break end
      lfs.attributes(dir)
    end
    assert.is_true(descriptors() <= before)
  end)

  it('uses a bounded number of threads', function()
    run([[
      local path = ...
      local tasks = {}
      for i = 1, 500 do tasks[i] = task.spawn(fs.list, path) end
      for _, t in ipairs(tasks) do t:await() end
    ]], dir)
    local n = 0
    for name in lfs.dir '/proc/self/task' do n = n + (name:find '%d' and 1 or 0) end
    assert.is_true(n <= 16 + 8, n)
  end)

  it('queues the operations of several tasks on one file', function()
    assert.equal(('0123456789'):rep(10), (run([[
      local path = ... .. '/f'
      local f = fs.open(path, 'w')
      local tasks = {}
      for i = 0, 99 do tasks[#tasks + 1] = task.spawn(f.write, f, i % 10) end
      for _, t in ipairs(tasks) do t:await() end
      f:close()
      return fs.read(path)
    ]], dir)))
  end)

  it("waits inside the script's own coroutines, and says where it cannot", function()
    put('f', 'a\nb\n')
    assert.same({ 'a', 'b', 'done' }, (run([[
      local path = ... .. '/f'
      local next_line = coroutine.wrap(function()
        for line in fs.lines(path) do coroutine.yield(line) end
        return 'done'
      end)
      return { next_line(), next_line(), next_line() }
    ]], dir)))
    local message = run "return catch(table.sort, { 1, 2 }, function() return fs.exists '/' end)"
    assert.truthy(message:find 'fs.exists cannot wait across a C boundary %(table.sort%)', message)
  end)

  it('reads for several tasks in turn, also when the one that has read had to give way before it kept it', function()
    assert.same({ 'a', 'b' }, run [=[
      local reads = 0
      local source = {}
      function source:read()
        reads = reads + 1
        if reads == 1 then
          task.sleep(0)
          return 'a\nb\n'
        end
        assert(reads == 2, 'waits for more although there is something')
        return ''
      end
      local reader = require('perilune.reader').new(source)
      local first, second = task.spawn(reader.read, reader), task.spawn(reader.read, reader)
      return { first:await(), second:await() }
    ]=])
  end)

  describe('watch', function()
    it('brings the changes of a folder until it is left', function()
      local seen = run([[
        local dir = ...
        local seen = {}
        for change in fs.watch(dir) do
          seen[#seen + 1] = change.kind .. ' ' .. change.name
          if #seen == 2 then break end
          if #seen == 1 then task.spawn(fs.write, dir .. '/b', 'x') end
          if change.name == 'b' then break end
        end
        return seen
      ]], dir, (function() os.execute(("(sleep 0.05; touch '%s/a') &"):format(dir)) end)())
      assert.equal('rename a', seen[1])
    end)

    it('ends for those who wait when it is closed', function()
      assert.same({ true }, { run([[
        local w = fs.watch(...)
        local t = task.spawn(w.next, w)
        task.sleep(0)
        w:close()
        return t:await() == nil
      ]], dir) })
    end)

    it('is waited for by one task at a time', function()
      local code, message = run([[
        local w <close> = fs.watch(...)
        local t = task.spawn(w.next, w)
        task.sleep(0)
        return catch(w.next, w)
      ]], dir)
      assert.equal('BUSY', code)
      assert.equal('fs.watch: another task is waiting for it', message)
    end)

    it('fails for what is not there', function()
      assert.equal('ENOENT', select(3, run("return catch(fs.watch, (...) .. '/none')", dir)))
    end)
  end)
end)
