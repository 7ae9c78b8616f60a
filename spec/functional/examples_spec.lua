--- The examples do what they say.

local process = require 'spec.support.process'

local function example(name)
  return process.root .. '/examples/' .. name
end

local function serve(...)
  local p = process.start { process.perilune, 'run', ... }
  p:wait_line '^ready '
  return p
end

local function count(text, pattern)
  return select(2, text:gsub(pattern, ''))
end

describe('examples/spec', function()
  it('has specs of the examples, which pass', function()
    local run = process.perilune_run('test', { cwd = process.root .. '/examples' })
    assert.equal(0, run.code, run.stdout .. run.stderr)
    assert.matches('^%+%+%+%+%+%+%+', run.stdout)
  end)
end)

describe('examples/hello.lua', function()
  it('adds and counts', function()
    serve(example 'hello.lua')
    local sum = process.perilune_run('call', 'add', '2', '3')
    assert.same({ code = 0, stdout = '5\n', stderr = '' }, sum)
    local counted = process.perilune_run('stream', 'count', '3')
    assert.same({ code = 0, stdout = '1\n2\n3\n', stderr = '"done"\n' }, counted)
  end)
end)

describe('examples/echo.lua', function()
  it('ends in four ways, and cleans up each time', function()
    local result = process.perilune_run('run', example 'echo.lua')
    assert.equal(0, result.code, result.stderr)
    local lines = {}
    for line in result.stdout:gmatch '[^\n]+' do lines[#lines + 1] = line:match '^  the echo.*' end
    assert.equal(4, #lines, result.stdout)
    for i, name in ipairs { 'one', 'two', 'three', 'four' } do
      assert.truthy(lines[i]:find(('  the echo of %q ends: CANCELLED'):format(name), 1, true), lines[i])
    end
    assert.truthy(result.stdout:find('raised\tfalse\tTIMEOUT', 1, true), result.stdout)
  end)
end)

describe('examples/kv_store.lua', function()
  local function call(...)
    local result = process.perilune_run('call', ...)
    assert.equal(0, result.code, result.stderr)
    return result.stdout
  end

  it('keeps values for the mesh, over a restart too', function()
    local dir = process.temp_dir() .. '/kv'
    local p = serve(example 'kv_store.lua', '--state-dir', dir)
    call('set', '"color"', '"green"')
    assert.equal('"green"\n', call('get', '"color"'))
    assert.equal('null\n', call('get', '"keys"'))
    assert.equal('2\n', call('add', '"visits"', '2'))
    assert.equal('true\n', call('swap', '"color"', '"green"', '{"r":255,"g":0}'))
    assert.equal('false\n', call('swap', '"color"', '"green"', '"red"'))
    assert.equal('true\n', call('swap', '"color"', '{"g":0,"r":255}', '"red"'))
    call('set', '"session"', '{"user":7}', '60')
    call('delete', '"color"')
    p:kill 'TERM'
    assert.equal(0, p:wait())

    serve(example 'kv_store.lua', '--state-dir', dir)
    local list = process.perilune_run('stream', 'list')
    assert.same({ code = 0, stdout = '["visits",2]\n["session",{"user":7}]\n', stderr = '2\n' }, list)
  end)
end)

describe('examples/primes.lua', function()
  it('counts primes in parts, and answers meanwhile', function()
    serve(example 'primes.lua')
    local counted = process.perilune_run('call', 'primes', '20000')
    assert.same({ code = 0, stdout = '2262\n', stderr = '' }, counted)
    assert.equal('"still here"\n', process.perilune_run('call', 'hello').stdout)
    local refused = process.perilune_run('call', 'primes', '"many"')
    assert.equal(1, refused.code)
    assert.matches('INVALID', refused.stderr)
  end)
end)

describe('examples/log_tail.lua', function()
  local function append(path, text)
    local file <close> = assert(io.open(path, 'a'))
    file:write(text)
  end

  it('shows what all nodes log, also after their logs were rotated', function()
    local dir = process.temp_dir { ['one.log'] = 'old\n', ['two.log'] = 'old\n' }
    local one, two = dir .. '/one.log', dir .. '/two.log'
    serve(example 'log_tail.lua', '--name', 'one', '--', one)
    local all = process.start { process.perilune, 'run', example 'log_tail.lua' }
    local tail = process.start { process.perilune, 'stream', 'log.tail', '1', '--idle', '0' }
    tail:wait_line '^"old"$' -- it is followed from here

    --- Lines from before it follows are not seen: so they come again until one is.
    local function wait_until_followed(path, text)
      local deadline = process.now() + 10 * process.patience
      local line = ('^%s: %s$'):format(path:match '(%a+)%.log$', text)
      repeat
        append(path, text .. '\n')
        local seen = pcall(all.wait_line, all, line, 0.2)
      until seen or process.now() > deadline
    end
    wait_until_followed(one, 'hello')
    tail:wait_line '^"hello"$'
    append(one, 'in two ')
    append(one, 'parts\n')
    all:wait_line '^one: in two parts$'

    assert(os.rename(one, one .. '.1'))
    append(one, 'first of the new one\n')
    all:wait_line '^one: first of the new one$'
    tail:wait_line '^"first of the new one"$'
    assert(io.open(one, 'w')):close() -- cut
    append(one, 'after the cut\n')
    all:wait_line '^one: after the cut$'

    local second = serve(example 'log_tail.lua', '--name', 'two', '--', two)
    wait_until_followed(two, 'here too')
    second:kill 'KILL'
    all:wait_line '^two: PEER_LOST: '
    append(one, 'goes on\n')
    all:wait_line '^one: goes on$'
    for _, reader in ipairs { all, tail } do -- else the node drains for them
      reader:kill 'INT'
      reader:wait()
    end
  end)
end)

describe('examples/pipeline.lua', function()
  local FILES = 40

  local function folder()
    local files = {}
    for i = 1, FILES do files[('f%02d'):format(i)] = ('%d\n'):format(i):rep(20000) end
    return process.temp_dir(files)
  end

  --- Waits until node `name` offers as many actions as it has.
  local function wait_for_neighbours()
    local deadline = process.now() + 10
    repeat
      local actions = process.perilune_run('actions')
      if actions.stdout:find '\ndigest +2 ' then return end
    until process.now() > deadline
    error 'the nodes did not find each other'
  end

  it('digests every file of a folder, in order, on all nodes', function()
    local dir = folder()
    serve(example 'pipeline.lua', '--name', 'a')
    serve(example 'pipeline.lua', '--name', 'b')
    wait_for_neighbours()

    local result = process.perilune_run('stream', 'digests', ('"%s"'):format(dir))
    assert.equal(0, result.code, result.stderr)
    local expected = process.run({ 'sh', '-c', 'sha256sum "$0"/*', dir }).stdout
    local found = {}
    for path, digest in result.stdout:gmatch '%["([^"]+)","(%x+)","[ab]"%]\n' do
      found[#found + 1] = ('%s  %s\n'):format(digest, path)
    end
    assert.equal(expected, table.concat(found))
    assert.is_true(count(result.stdout, '"a"%]\n') > 0, result.stdout)
    assert.is_true(count(result.stdout, '"b"%]\n') > 0, result.stdout)
  end)

  it('tells its caller what is wrong with a folder', function()
    serve(example 'pipeline.lua')
    local result = process.perilune_run('stream', 'digests', '"/nowhere/at/all"')
    assert.equal(1, result.code)
    assert.matches('^IO_ERROR: .*/nowhere/at/all: no such file or directory\n', result.stderr)
  end)
end)

describe('examples/file_drop.lua', function()
  local function drop(dir, ...)
    return process.run({ process.perilune, 'run', example 'file_drop.lua', '--', ... }, { cwd = dir })
  end

  it('takes files, goes on where it was, and gives them back', function()
    local dir = process.temp_dir()
    assert(os.execute(("head -c 3000000 /dev/urandom > '%s/big'"):format(dir)))
    local digest = process.run({ 'sha256sum', dir .. '/big' }).stdout:match '^%x+'
    process.start({ process.perilune, 'run', example 'file_drop.lua', '--', 'box', 'box' }, { cwd = dir })
      :wait_line '^ready '

    local put = drop(dir, 'put', 'big')
    assert.same({ 0, digest .. '  big, 3000000 bytes\n' }, { put.code, put.stdout }, put.stderr)
    assert(os.execute(("cd '%s' && head -c 1000000 big > box/.big.part && head -c 2000000 big > .copy.part")
      :format(dir)))
    put = drop(dir, 'put', 'big')
    assert.same({ 0, digest .. '  big, 3000000 bytes\n' }, { put.code, put.stdout }, put.stderr)
    assert.matches('going on at byte 1000000\n', put.stderr)
    local got = drop(dir, 'get', 'big', 'copy')
    assert.same({ 0, digest .. '  copy, 3000000 bytes\n' }, { got.code, got.stdout }, got.stderr)
    assert.matches('going on at byte 2000000\n', got.stderr)
    assert.equal(digest, process.run({ 'sha256sum', dir .. '/copy' }).stdout:match '^%x+')
  end)

  it('tells what is wrong', function()
    local dir = process.temp_dir()
    assert.equal(2, drop(dir, 'put').code)
    process.start({ process.perilune, 'run', example 'file_drop.lua', '--', 'box', 'box' }, { cwd = dir })
      :wait_line '^ready '
    local got = drop(dir, 'get', 'nothing')
    assert.equal(1, got.code)
    assert.matches('NO_FILE: nothing: there is no such file', got.stderr)
  end)
end)

describe('examples/demo', function()
  it('counts, searches, calls, and loses no task with a relay', function()
    local env = { PERILUNE = process.perilune, TEXT_BYTES = '3000000' }
    local result = process.run({ process.root .. '/examples/demo' }, { env = env, timeout = 60 })
    assert.equal(0, result.code, result.stdout .. result.stderr)
    local out = result.stdout
    assert.is_true(count(out, '\n *%d+ %%  %a+ %d+') >= 2, out) -- progress
    assert.equal(5, count(out, '\n +%d+: '), out)
    assert.matches('\nwords +3%.0 MB in [^\n]* MB/s\n', out)
    assert.matches('\ncalls +%d+ +in [^\n]* calls/s\n', out)
    assert.matches('info  search stopped by its reader', out)
    assert.is_nil(out:find('search finished', 1, true))
    assert.equal(2, count(out, '\ntasks +%d+ +done by worker%-%d'), out)
    local killed = out:match '(relay%-%d) is killed'
    local other = killed == 'relay-1' and 'relay-2' or 'relay-1'
    local after = ('%s is killed.*the way to the workers is by %s\n.*%s is started again'):format(killed, other, killed)
    assert.matches(after:gsub('%-', '%%-'), out)
    assert.truthy(out:find(('while the way was by %s\n'):format(other), 1, true), out)
    assert.matches('\ntasks +0 +failed\n', out)
  end)
end)

describe('examples/words/greeter.lua', function()
  it('is edited while it is called, and no call fails', function()
    local dir = process.temp_dir()
    local file <close> = assert(io.open(example 'words/greeter.lua'))
    local text = file:read 'a'
    local function write(new)
      local copy <close> = assert(io.open(dir .. '/greeter.lua', 'w'))
      copy:write(new)
    end
    write(text)
    local p = process.start({ process.perilune, 'run', 'greeter.lua', '--watch' }, { cwd = dir })
    p:wait_line '^ready '
    local traffic = process.start { process.perilune, 'run', example 'words/traffic.lua', '--', '1.5' }
    traffic:wait_line 'hello, you'
    write((text:gsub('hello, ', 'welcome, ')))
    p:wait_line '^reloaded greeter.lua generation 2 '
    traffic:wait_line 'welcome, you'
    traffic:wait_line '%d+ calls, 0 failed'
    assert.equal(0, (traffic:wait()))
  end)
end)
