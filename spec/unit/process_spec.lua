local native = require('perilune.testing').process
local process = require 'spec.support.process'

local function sh(script, options)
  return process.start({ 'sh', '-c', script }, options)
end

describe('process', function()
  it('collects both outputs and the exit code', function()
    local result = process.run({ 'sh', '-c', 'echo out; echo err >&2; exit 3' })
    assert.same({ code = 3, stdout = 'out\n', stderr = 'err\n' }, result)
  end)

  it('says which signal ended it', function()
    local p = sh 'kill -KILL $$'
    assert.same({ nil, 'KILL' }, { p:wait() })
  end)

  it('waits for a line and returns its captures, on either output', function()
    local p = sh("echo a; echo 'ready name=x id=7' >&2; read _", { stdin = true })
    assert.same({ 'x', '7' }, { p:wait_line 'name=(%S+) id=(%d+)' })
    assert.equal('a', p:wait_line('^a$', nil, 'stdout'))
  end)

  it('matches a last line without its end', function()
    assert.equal('end', sh('printf "a\\nend"'):wait_line 'end')
  end)

  it('fails a wait for a line with all that was written', function()
    local ok, err = pcall(function() return sh('echo something'):wait_line 'other' end)
    assert.is_false(ok)
    assert.matches("ended without a line 'other'.*something", err)
  end)

  it('feeds standard input and ends it', function()
    local text = ('x'):rep(1 << 20)
    local result = process.run({ 'wc', '-c' }, { stdin = text })
    assert.equal(tostring(#text), result.stdout:match '%d+')
  end)

  it('takes large output while feeding input', function()
    local text = ('0123456789abcde\n'):rep(1 << 16)
    assert.equal(text, process.run({ 'cat' }, { stdin = text }).stdout)
  end)

  it('gives an empty input by default', function()
    assert.equal(0, process.run({ 'cat' }).code)
  end)

  it('runs in the folder and the environment that were asked for', function()
    local dir = process.temp_dir { ['a/b.txt'] = 'hello' }
    local p = process.run({ 'sh', '-c', 'cat a/b.txt; echo " $WHO ${HOME-none}"' },
      { cwd = dir, env = { WHO = 'me', HOME = false } })
    assert.equal('hello me none\n', p.stdout)
  end)

  it('raises when the program is not there', function()
    assert.has_error(function() process.start { '/nonexistent/program' } end,
      'cannot run /nonexistent/program: No such file or directory')
  end)

  it('gives ports that can be bound', function()
    assert.is_true(process.free_port() > 1023)
  end)

  describe('after a test', function()
    it('stops what is left with SIGTERM', function()
      local p = sh 'trap "exit 0" TERM; echo up; while :; do read _ || sleep 0.01; done'
      p:wait_line 'up'
      process.clean_up()
      assert.equal(0, p.code)
    end)

    it('stops a process that was stopped', function()
      local p = process.start { 'sleep', '100' }
      p:kill 'STOP'
      process.clean_up()
      assert.equal('TERM', p.signal)
    end)

    it('fails for a child that outlives its parent, and ends it', function()
      local p = sh 'sleep 100 & echo $!'
      local child = tonumber(p:wait_line '%d+')
      local ok, err = pcall(process.clean_up)
      assert.is_false(ok)
      assert.matches('left processes behind', err)
      assert.is_false(native.kill(child, 'CONT'))
    end)

    it('fails for the report of a sanitizer', function()
      process.run { 'sh', '-c', 'echo "x.c:1:2: runtime error: overflow" >&2' }
      local ok, err = pcall(process.clean_up)
      assert.is_false(ok)
      assert.matches('broke a rule of C', err)
    end)

    it('removes temporary folders', function()
      local dir = process.temp_dir { file = '' }
      process.clean_up()
      assert.is_nil(io.open(dir .. '/file'))
    end)
  end)
end)
