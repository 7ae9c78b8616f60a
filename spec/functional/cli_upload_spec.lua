--- perilune stream and perilune call with --input: files and standard input on their way to an action.

local process = require 'spec.support.process'

local WORKER = [[
  local mesh = require 'perilune'
  require('perilune.fs').mkdir 'store'
  require('perilune.files').serve('files', 'store', { write = true })
  mesh.action('count', function(word)
    local bytes, chunks, largest = 0, 0, 0
    for block in mesh.input() do
      bytes, chunks, largest = bytes + #block, chunks + 1, math.max(largest, #block)
    end
    return bytes, largest <= 65536 and chunks >= bytes // 65536, word
  end)
  mesh.action('echo', function()
    for block in mesh.input() do coroutine.yield(block) end
    return 'bye'
  end)
  mesh.action('first', function() return #mesh.input()() end)
  mesh.action('refuse', function() error { code = 'CLOSED_TODAY', message = 'come back' } end)
  mesh.action('full', function()
    mesh.input()()
    error { code = 'FULL', message = 'no room left' }
  end)
  mesh.action('broken_pipe', function()
    error { code = 'IO_ERROR', message = 'write: broken pipe', details = { errno = 'EPIPE' } }
  end)
  mesh.action('slow', function()
    local stopped <close> = setmetatable({}, { __close = function() print 'reader stopped' end })
    for block in mesh.input() do
      print('taken ' .. #block)
      mesh.sleep(60)
    end
  end)
]]

local perilune = process.perilune_run

describe('a command with --input', function()
  local dir, worker

  before_each(function()
    dir = process.temp_dir { ['worker.lua'] = WORKER, small = 'hello\n', none = '' }
    assert(os.execute(("head -c 3000000 /dev/urandom > '%s/big'"):format(dir)))
    worker = process.start({ process.perilune, 'run', 'worker.lua' }, { cwd = dir })
    worker:wait_line '^ready '
  end)

  local function run(...)
    local argv = { ... }
    local options = type(argv[#argv]) == 'table' and table.remove(argv) or {}
    options.cwd = dir
    argv[#argv + 1] = options
    return perilune(table.unpack(argv))
  end

  local function shell(line)
    local env = { PATH = process.perilune:match '^(.*)/' .. ':' .. os.getenv 'PATH' }
    return process.run({ 'bash', '-o', 'pipefail', '-c', line }, { cwd = dir, env = env })
  end

  it('sends a file in blocks, and prints the results', function()
    local counted = { code = 0, stdout = '3000000\ntrue\n"x"\n', stderr = '' }
    assert.same(counted, run('call', 'count', '"x"', '--input', 'big'))
    assert.same({ code = 0, stdout = '', stderr = '6\ntrue\nnull\n' }, run('stream', 'count', '--input=small'))
    assert.same({ code = 0, stdout = '0\ntrue\nnull\n', stderr = '' }, run('call', 'count', '--input', 'none'))
  end)

  it('sends standard input: text, a file, a pipe', function()
    local p = run('stream', 'echo', '--input', '-', '--raw', { stdin = 'a\nb\0\255' })
    assert.same({ code = 0, stdout = 'a\nb\0\255', stderr = '"bye"\n' }, p)
    for _, line in ipairs {
      'perilune call count --input - < big', 'cat big | perilune call count --input=-',
      'perilune call count --input <(cat big)',
    } do
      assert.equal('3000000\ntrue\nnull\n', shell(line).stdout, line)
    end
    assert.matches('^%d+\n', shell('perilune call count --input /proc/self/status').stdout)
  end)

  it('sends what comes when it comes', function()
    local p = process.start({ process.perilune, 'stream', 'echo', '--input', '-' }, { stdin = true })
    p:write 'one'
    p:wait_line('^"one"$', nil, 'stdout')
    p:write 'two'
    p:wait_line('^"two"$', nil, 'stdout')
    p:close_stdin()
    assert.equal(0, p:wait())
  end)

  it('stores and fetches files byte for byte', function()
    local p = run('stream', 'files.put', '"copy"', '--input', 'big')
    local digest = process.run({ 'sha256sum', dir .. '/big' }).stdout:match '^%x+'
    assert.same({ 0, '' }, { p.code, p.stdout })
    assert.matches('"sha256":"' .. digest .. '"', p.stderr)
    p = shell [[perilune stream files.get '"copy"' --raw 2> /dev/null | sha256sum]]
    assert.equal(digest, p.stdout:match '^%x+')
    assert.is_true(os.execute(("cmp '%s/big' '%s/store/copy'"):format(dir, dir)))
    assert.matches('^{.*' .. digest, run('call', 'files.put', '"other"', '--input', 'big').stdout)
  end)

  it('is slowed by a slow reader, and stopped by one that has enough', function()
    local p = process.start({ process.perilune, 'stream', 'slow', '--input', '/dev/zero' }, { cwd = dir })
    worker:wait_line('^taken 65536', nil, 'stdout')
    p:kill 'TERM'
    p:wait()
    worker:wait_line('reader stopped', nil, 'stdout')
    assert.same({ code = 0, stdout = '65536\n', stderr = '' }, run('call', 'first', '--input', '/dev/zero'))
    assert.same({ code = 0, stdout = '', stderr = '65536\n' }, run('stream', 'first', '--input', 'big'))
  end)

  it('tells what is wrong with a file, before it asks anybody', function()
    for _, case in ipairs {
      { 'call', 'nothing', 'nothing: no such file or directory' }, { 'stream', 'nothing', 'nothing: no such file' },
      { 'call', '.', '%.: illegal operation on a directory' },
    } do
      local p = run(case[1], 'count', '--input', case[2], '--mesh', 'empty')
      assert.same({ 1, '' }, { p.code, p.stdout })
      assert.matches('^IO_ERROR: %l+ ' .. case[3], p.stderr)
      assert.is_nil(p.stderr:find 'outcome')
    end
    assert.matches('^INVALID: %-%-input needs a value', run('call', 'count', '--input').stderr)
  end)

  it('tells when its file does not stay what it is', function()
    assert(os.execute(("truncate -s 100000000 '%s/big'"):format(dir)))
    local p = process.start({ process.perilune, 'stream', 'echo', '--input', 'big', '--raw' }, { cwd = dir })
    p:wait_until(function() return #p.collected.stdout > 0 end)
    assert(os.execute(("truncate -s 99999999 '%s/big'"):format(dir)))
    assert.equal(1, p:wait())
    assert.matches('^CHANGED: big: its size went from 100000000 to 99999999 bytes while it was read\n', p:stderr())
  end)

  it('tells when standard input is a file that is cut', function()
    assert(os.execute(("truncate -s 100000000 '%s/big'"):format(dir)))
    local command = ('"%s" stream echo --input - --raw < big'):format(process.perilune)
    local p = process.start({ 'bash', '-c', command }, { cwd = dir })
    p:wait_until(function() return #p.collected.stdout > 0 end)
    assert(os.execute(("truncate -s 1000 '%s/big'"):format(dir)))
    assert.equal(1, p:wait())
    assert.matches('^CHANGED: standard input: its size went from 100000000 to 1000 bytes', p:stderr())
  end)

  it('ends with the error of the action', function()
    for _, case in ipairs {
      { 'call', 'refuse', 'CLOSED_TODAY: come back' }, { 'stream', 'full', 'FULL: no room left' },
      { 'call', 'broken_pipe', 'IO_ERROR: write: broken pipe' }, { 'stream', 'none', 'NOT_FOUND: ' },
    } do
      local p = run(case[1], case[2], '--input', 'big')
      assert.same({ 1, '' }, { p.code, p.stdout }, case[2])
      assert.matches('^' .. case[3], p.stderr)
    end
  end)

  it('ends quietly when nobody reads what it prints', function()
    local p = shell 'perilune stream echo --input /dev/zero --raw | head -c 100000 | wc -c'
    assert.same({ 0, '100000', '' }, { p.code, p.stdout:match '%d+', p.stderr })
  end)

  describe('at a terminal', function()
    local function at_terminal(columns, ...)
      local p = process.start({ process.perilune, ... }, { cwd = dir, terminal = columns })
      assert.equal(0, p:wait(), p.collected.terminal)
      return p
    end

    it('shows how far it is, and at last the whole', function()
      local p = at_terminal(100, 'call', 'count', '--input', 'big')
      assert.equal('3000000\ntrue\nnull\n', p:stdout())
      assert.matches('\r%[#+%] 100 %%  3%.0 MB of 3%.0 MB  [%d.]+ .?B/s\27%[K\r\n$', p.collected.terminal)
      p = at_terminal(100, 'call', 'count', '--input', '/proc/self/status')
      assert.matches('\r[%d.]+ k?B  [%d.]+ .?B/s\27%[K\r\n$', p.collected.terminal)
      p = at_terminal(20, 'call', 'count', '--input', 'big')
      assert.matches('\r100 %%\27%[K\r\n$', p.collected.terminal)
    end)

    it('shows it while it waits', function()
      local p = process.start({ process.perilune, 'call', 'slow', '--input', 'big' }, { cwd = dir, terminal = 100 })
      p:wait_until(function() return p.collected.terminal:find '\r%[#*%-+%] +%d+ %%  [%d.]+ kB of 3%.0 MB  .*\r%[' end)
      p:kill 'INT'
      assert.is_truthy(p:wait())
    end)

    it('shows how far a download is', function()
      run('call', 'files.put', '"copy"', '--input', 'big')
      local p = at_terminal(100, 'stream', 'files.get', '"copy"', '--raw')
      assert.equal(3000000, #p:stdout())
      assert.matches('\r%[#+%] 100 %%  3%.0 MB of 3%.0 MB .*\r\n{.*"size":3000000.*}\r\n$', p.collected.terminal)
    end)

    it('shows nothing when it fails but the error', function()
      local p = process.start({ process.perilune, 'call', 'full', '--input', 'big' }, { cwd = dir, terminal = 100 })
      assert.equal(1, p:wait())
      assert.matches('^FULL: no room left\r\n', p.collected.terminal:gsub('^.*\27%[K', ''))
    end)
  end)
end)
