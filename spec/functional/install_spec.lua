local process = require 'spec.support.process'

local function install()
  local prefix = process.temp_dir()
  local build = process.perilune:match '^(.*)/'
  local result = process.run { 'cmake', '--install', build, '--prefix', prefix }
  assert.equal(0, result.code, result.stderr)
  return prefix
end

local function read(path)
  local file <close> = assert(io.open(path, 'rb'))
  return file:read 'a'
end

describe('an installed perilune', function()
  it('runs from any folder, its standard library inside it', function()
    local prefix = install()
    local dir = process.temp_dir { ['app.lua'] = "print(type(require('perilune').action), arg[1])" }
    local result = process.run({ prefix .. '/bin/perilune', 'run', dir .. '/app.lua', '--', 'x' }, { cwd = '/' })
    assert.same({ code = 0, stdout = 'function\tx\n', stderr = '' }, result)
  end)

  it('comes with its documents, examples and license', function()
    local prefix = install()
    for _, name in ipairs { 'README.md', 'LICENSE', 'docs/contributing.md', 'examples/hello.lua' } do
      local file = io.open(('%s/share/doc/perilune/%s'):format(prefix, name))
      assert.is_truthy(file, name)
      file:close()
    end
  end)

  it('comes with types for editors', function()
    local prefix = install()
    for _, name in ipairs { 'perilune.lua', 'perilune/fs.lua' } do
      local file <close> = assert(io.open(('%s/share/perilune/types/%s'):format(prefix, name)))
      assert.matches('^%-%-%-@meta perilune', file:read 'l')
    end
  end)

  it('brings manual and completions, also when it is installed again, below another root', function()
    local root = process.temp_dir()
    local build = process.perilune:match '^(.*)/'
    if not io.open(build .. '/package/perilune.1') then return end -- not made under sanitizers
    for _ = 1, 2 do
      local result = process.run({ 'cmake', '--install', build, '--prefix', '/usr' }, { env = { DESTDIR = root } })
      assert.equal(0, result.code, result.stderr)
    end
    local share = root .. '/usr/share/'
    assert.equal(process.perilune_run('help', '--man').stdout, read(share .. 'man/man1/perilune.1'))
    assert.equal(process.perilune_run('completion', 'bash').stdout,
      read(share .. 'bash-completion/completions/perilune'))
    assert.matches('^#compdef perilune\n', read(share .. 'zsh/vendor-completions/_perilune'))
    assert.matches('complete %-c perilune', read(share .. 'fish/vendor_completions.d/perilune.fish'))
  end)

  it('brings a unit for systemd, and a configuration that stays as its administrator left it', function()
    local root = process.temp_dir()
    local build = process.perilune:match '^(.*)/'
    local function install_at(prefix)
      local result = process.run({ 'cmake', '--install', build, '--prefix', prefix }, { env = { DESTDIR = root } })
      assert.equal(0, result.code, result.stderr)
    end
    install_at '/usr'
    local unit = read(root .. '/usr/lib/systemd/system/perilune@.service')
    assert.matches('\nType=notify\nExecStart=/usr/bin/perilune run %-%-config /etc/perilune/perilune.json '
      .. '/etc/perilune/%%i.lua\n', unit)
    assert.is_nil(unit:find('@[%a_]+@'))
    local path = root .. '/etc/perilune/perilune.json'
    local options = process.perilune_run('options', '--config', path)
    assert.equal(0, options.code, options.stderr)
    local file <close> = assert(io.open(path, 'w'))
    file:write '{"name":"mine"}'
    file:close()
    install_at '/usr'
    assert.equal('{"name":"mine"}', read(path))

    install_at '/opt/perilune'
    assert.matches('ExecStart=/opt/perilune/bin/perilune run %-%-config /opt/perilune/etc/perilune/',
      read(root .. '/opt/perilune/lib/systemd/system/perilune@.service'))
  end)

  it('loads C modules of the distribution', function()
    local dir = process.temp_dir { ['app.lua'] = "print(require('lfs').currentdir())" }
    local result = process.run({ process.perilune, 'run', 'app.lua' }, { cwd = dir })
    assert.same({ code = 0, stdout = dir .. '\n', stderr = '' }, result)
  end)
end)
