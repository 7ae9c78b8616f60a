--- perilune repl where standard input is no terminal: lines in, values out.

local process = require 'spec.support.process'

local WORKER = [[
  local mesh = require 'perilune'
  mesh.action('sum', function(numbers)
    local total = 0
    for _, n in ipairs(numbers) do total = total + n end
    return total
  end, { description = 'adds' })
  mesh.action('count', function(max)
    for i = 1, max do coroutine.yield(i) end
  end)
  mesh.action('boom', function() error 'boom' end)
]]

describe('perilune repl without a terminal', function()
  local dir

  before_each(function()
    dir = process.temp_dir { ['worker.lua'] = WORKER }
    local worker = process.start({ process.perilune, 'run', 'worker.lua' }, { cwd = dir })
    worker:wait_line '^ready '
  end)

  local function repl(input, ...)
    return process.run({ process.perilune, 'repl', ... }, { stdin = input, cwd = dir })
  end

  it('runs each line and shows its values', function()
    local p = repl 'mesh.call("sum", {1, 2})\n_ + 1\nx = 5\nx, nil, "a"\n\n-- nothing\nlocal y = 1\ny\n'
    assert.equal('3\n4\n5\nnil\n"a"\nnil\n', p.stdout)
    assert.equal('', p.stderr)
    assert.equal(0, p.code)
    assert.equal('3\n', repl 'mesh.call("sum",{1,2})'.stdout) -- without an end of line
  end)

  it('waits in a line as in a task', function()
    local p = repl 'for i in mesh.stream("count", 3) do print(i) end\nmesh.sleep(0.01)\nmesh.all{mesh.spawn(print, 4)}'
    assert.equal('1\n2\n3\n4\n{}\n', p.stdout)
    assert.equal(0, p.code)
  end)

  it('puts lines together until they are whole', function()
    local p = repl('for i = 1, 2 do\n  print(i)\nend\nmesh.call(\n"sum",\n{3})\n[[a\nb]]\n' ..
      'function f()\nreturn 7 end\nf()')
    assert.equal('1\n2\n3\n"a\\nb"\n7\n', p.stdout)
    assert.equal(0, p.code)
  end)

  it('tells errors and goes on, and ends with 1', function()
    local p = repl 'xyzzy.x\n1 +* 2\nerror{code = "MINE", message = "no", details = {1}}\nerror()\n5'
    assert.equal('5\n', p.stdout)
    assert.equal(table.concat({
      "repl:1: attempt to index a nil value (global 'xyzzy')",
      "repl:1: unexpected symbol near '1'",
      'MINE: no',
      '  details: [1]',
      'nil',
      '',
    }, '\n'), p.stderr)
    assert.equal(1, p.code)
  end)

  it('tells of an error where it arose, and no frames of its own', function()
    local p = repl 'function f() error "deep" end function g() f() end\ng()\nmesh.call "boom"'
    assert.matches('^repl:1: deep\nstack traceback:\n\trepl:1: in [^\n]* .f.\n\trepl:1: in function <', p.stderr)
    assert.matches('\nHANDLER_ERROR: worker.lua:10: boom\n  action: boom\n.*\n\tworker.lua:10:', p.stderr)
    assert.is_nil(p.stderr:find('perilune%.repl'))
    assert.is_nil(p.stderr:find('xpcall'))
  end)

  it('hints at what may have been meant', function()
    local p = repl('mesh.acton "x"\nt = mesh.spawn(print)\nt + 1\nprnt(1)\n'
      .. 'local function half(n) return n / 2 end half()')
    local hints = {}
    for hint in p.stderr:gmatch '\n  ([^ \n][^\n]*)' do hints[#hints + 1] = hint end
    assert.same({ 'did you mean mesh.action?', 't is a task; its results are those of t:await()',
      'did you mean print?', 'n is an argument, and was not given' }, hints)
  end)

  it('tells what is not whole at the end', function()
    local p = repl 'for i = 1, 2 do'
    assert.matches("^repl:%d: 'end' expected.* near <eof>\n$", p.stderr)
    assert.equal(1, p.code)
  end)

  it('does not end with what a line ends', function()
    local p = repl [[
print = nil
type, pcall, mesh, _G = nil
string = nil
mesh
6 * 7
]]
    assert.matches('42\n$', p.stdout)
  end)

  it('ends a line that takes too much memory, and goes on', function()
    local p = repl('t = {} for i = 1, 1e9 do t[i] = {} end\nt = nil\n1 + 1', '--memory-limit', '16MiB')
    assert.equal('2\n', p.stdout)
    assert.matches('memory', p.stderr)
    assert.equal(1, p.code)
  end)

  it('takes no line that never ends', function()
    local p = repl('"' .. ('x'):rep(2 << 20) .. '"\n1')
    assert.matches('^TOO_LARGE: a line has more than 262144 bytes\n', p.stderr)
    assert.equal(1, p.code)
    p = repl('do\n' .. ('a = 1\n'):rep(3000) .. 'end\n') -- lines that never are whole
    assert.matches('^TOO_LARGE: 2000 lines are not whole\n', p.stderr)
    assert.equal(1, p.code)
  end)

  it('has commands of its own', function()
    local p = repl ':actions\n:nodes\n:help\n:nothing\n:quit\n5'
    assert.matches('^ACTION  NODES .*\nboom .*\ncount .*\nsum  +node%S+  adds\nNAME ', p.stdout)
    assert.matches("\n  :quit .*\nno command ':nothing'; :help lists them\n$", p.stdout)
    assert.equal(0, p.code)
  end)

  it('lets a line end it', function()
    local p = repl 'os.exit(7)\n5'
    assert.equal('', p.stdout)
    assert.equal(7, p.code)
  end)

  it('ends quietly when nobody reads', function()
    local p = process.run({ 'sh', '-c', '"$0" repl | head -n 1', process.perilune },
      { stdin = ('"' .. ('x'):rep(1000) .. '"\n'):rep(2000), cwd = dir })
    assert.equal('', p.stderr)
  end)

  it('refuses what it does not know, and needs a node', function()
    assert.equal(2, repl('', 'file').code)
    assert.equal(2, repl('', '--what').code)
    local p = repl('1', '--peer', 'unix://' .. dir .. '/none.sock')
    assert.equal(3, p.code)
    assert.matches('^CONNECT_FAILED: no node was reached\n', p.stderr)
  end)
end)
