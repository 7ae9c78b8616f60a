--- `perilune completion`: what shells offer, and how they ask.

local process = require 'spec.support.process'

local WORKER = [[
  local mesh = require 'perilune'
  mesh.action('sum', function(a, b) return a + b end, { description = 'adds\n\ttwo' })
  mesh.action('sub:tract', function(a, b) return a - b end)
  mesh.action('odd $(touch x)', function() end)
]]

-- How long a command waits for the mesh: not what is tested, on a busy machine.
local PATIENT = { PERILUNE_CONNECT_TIMEOUT = '20', PERILUNE_HANDSHAKE_TIMEOUT = '20' }

local function words(...)
  local result = process.perilune_run('completion', 'words', '--', ...)
  assert.same({ 0, '' }, { result.code, result.stderr })
  local list = {}
  for word in result.stdout:gmatch '([^\t\n]+)[^\n]*\n' do list[#list + 1] = word end
  return list
end

local function start_worker(...)
  local dir = process.temp_dir { ['worker.lua'] = WORKER }
  process.start({ process.perilune, 'run', 'worker.lua', '--name', 'worker-1', ... }, { cwd = dir })
    :wait_line '^ready '
end

describe('perilune completion words', function()
  it('are the commands, by how they begin', function()
    assert.same({ 'run', 'routes', 'reload' }, { table.unpack(words 'r', 1, 3) })
    assert.same({}, words 'xyzzy')
    assert.is_true(#words '' >= 19)
    assert.same(words '', words())
  end)

  it('are the options of a command: its own and those of its node', function()
    assert.same({ '--json' }, words('nodes', '--js'))
    assert.same({ '--peer' }, words('call', '--pe'))
    assert.same({}, words('call', '--listen'))
    assert.same({ '--listen' }, words('run', 'app.lua', '--lis'))
    assert.same({ '--request-timeout' }, words('run', '--request'))
    assert.same({}, words('version', '--peer'))
  end)

  it('follow from what the command says of its arguments', function()
    assert.same({ ':files' }, words('run', ''))
    assert.same({ ':files' }, words('run', 'a.lua', 'b'))
    assert.same({ ':files' }, words('run', 'a.lua', '--', '--peer'))
    assert.same({ ':folders' }, words('new', ''))
    assert.same({ ':files', ':folders' }, words('test', 'spec/'))
    assert.same({ 'bash' }, words('completion', 'b'))
    assert.same({ 'run', 'routes', 'reload' }, { table.unpack(words('help', 'r'), 1, 3) })
    assert.same({}, words('sim', ''))
    assert.same({}, words('nosuch', ''))
  end)

  it('are files where an option takes one', function()
    assert.same({ ':files' }, words('run', '--config', ''))
    assert.same({ ':files' }, words('run', '--config=no'))
    assert.same({ ':files' }, words('call', '--psk', 'k'))
    assert.same({ ':files' }, words('call', 'x', '--input', ''))
    assert.same({}, words('run', '--name', ''))
    assert.same({}, words('run', '--name=x'))
  end)

  it('are the actions and nodes of the mesh', function()
    start_worker()
    local function patient(...)
      local arguments = { ... }
      arguments[#arguments + 1] = { env = PATIENT }
      return process.perilune_run('completion', 'words', '--', table.unpack(arguments)).stdout
    end
    assert.equal('sub:tract\t\nsum\tadds two\n', patient('call', 's'))
    assert.equal('sum\tadds two\n', patient('explain', '--json', 'sum'))
    assert.equal('worker-1\tup\n', patient('ping', ''))
    assert.equal('--node=worker-1\tup\n', patient('reload', '--node=w'))
    assert.equal('a,worker-1\tup\n', patient('reload', '--nodes', 'a,'))
    assert.equal('', patient('call', 'sum', ''))
  end)

  it('are asked of the mesh that is typed', function()
    local port = process.free_port()
    start_worker('--listen', ('tcp://127.0.0.1:%d'):format(port))
    local peer = ('tcp://127.0.0.1:%d'):format(port)
    local asked = process.perilune_run('completion', 'words', '--', 'call', '--peer', peer, 'su', { env = PATIENT })
    assert.equal('sub:tract\t\nsum\tadds two\n', asked.stdout)
  end)

  it('are none, silently, where there is no mesh', function()
    assert.same({}, words('call', ''))
    assert.same({}, words('ping', '--mesh', 'none', ''))
    assert.same({}, words('ping', '--peer', 'tcp://127.0.0.1:' .. process.free_port(), ''))
    assert.same({}, words('ping', ('x'):rep(5000)))
  end)
end)

local BASH = { PATH = process.perilune:match '^(.*)/' .. ':' .. os.getenv 'PATH' }
for name, value in pairs(PATIENT) do BASH[name] = value end

--- Runs bash's function as bash does, with the cursor at the end of the line, and returns what it offers.
local function bash(dir, line, ...)
  local result = process.run({ 'bash', '-c', [[
    source <("$0" completion bash)
    complete -p perilune >/dev/null || exit 9
    COMP_LINE=$1 COMP_POINT=${#1}
    shift
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    _perilune
    printf '%s\n' "${COMPREPLY[@]}" | LC_ALL=C sort
  ]], process.perilune, line, ... }, { cwd = dir, env = BASH })
  assert.same({ 0, '' }, { result.code, result.stderr })
  return (result.stdout:gsub('^\n$', ''))
end

describe('completion in bash', function()
  it('offers commands, options and files', function()
    local dir = process.temp_dir { ['app.lua'] = '', ['apple pie/x'] = '', ['other'] = '' }
    assert.equal('call\n', bash(dir, 'perilune ca', 'perilune', 'ca'))
    assert.equal('--json\n', bash(dir, 'perilune nodes --js', 'perilune', 'nodes', '--js'))
    assert.equal('app.lua\napple pie\n', bash(dir, 'perilune run ap', 'perilune', 'run', 'ap'))
    assert.equal('other\n', bash(dir, 'perilune run --config=o', 'perilune', 'run', '--config', '=', 'o'))
    assert.equal('apple pie\n', bash(dir, 'perilune new a', 'perilune', 'new', 'a'))
    assert.equal('', bash(dir, 'perilune xyzzy a', 'perilune', 'xyzzy', 'a'))
  end)

  it('offers what is running, quoted, and minds where bash cuts words', function()
    start_worker()
    local dir = process.temp_dir()
    assert.equal('sub:tract\nsum\n', bash(dir, 'perilune call s', 'perilune', 'call', 's'))
    assert.equal('tract\n', bash(dir, 'perilune  call   sub:', 'perilune', 'call', 'sub', ':'))
    assert.equal('tract\n', bash(dir, 'perilune call sub:t', 'perilune', 'call', 'sub', ':', 't'))
    assert.equal('worker-1\n', bash(dir, 'perilune reload --node=', 'perilune', 'reload', '--node', '='))
    assert.equal('odd\\ \\$\\(touch\\ x\\)\n', bash(dir, 'perilune call odd', 'perilune', 'call', 'odd'))
  end)
end)

describe('the completion of other shells', function()
  local CHECKS = { zsh = '#compdef perilune', fish = 'complete -c perilune ' }

  for shell, line in pairs(CHECKS) do
    it('is well formed for ' .. shell, function()
      local script = process.perilune_run('completion', shell).stdout
      assert.truthy(script:find(line, 1, true))
      assert.truthy(script:find('completion words -- ', 1, true))
      local dir = process.temp_dir { script = script }
      if process.run({ 'sh', '-c', 'command -v ' .. shell }).code ~= 0 then return end
      local checked = process.run({ shell, '-n', dir .. '/script' })
      assert.same({ 0, '' }, { checked.code, checked.stderr })
    end)
  end

  it('is refused for those that are not known', function()
    local result = process.perilune_run('completion', 'tcsh')
    assert.same({ code = 2, stdout = '',
      stderr = "INVALID: no completion for 'tcsh'; there is one for bash, zsh and fish\n" }, result)
    assert.equal(2, process.perilune_run('completion').code)
    assert.equal(2, process.perilune_run('completion', 'bash', 'zsh').code)
  end)
end)
