local process = require 'spec.support.process'

local function install()
  local prefix = process.temp_dir()
  local build = process.perilune:match '^(.*)/'
  local result = process.run { 'cmake', '--install', build, '--prefix', prefix }
  assert.equal(0, result.code, result.stderr)
  return prefix
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

  it('loads C modules of the distribution', function()
    local dir = process.temp_dir { ['app.lua'] = "print(require('lfs').currentdir())" }
    local result = process.run({ process.perilune, 'run', 'app.lua' }, { cwd = dir })
    assert.same({ code = 0, stdout = dir .. '\n', stderr = '' }, result)
  end)
end)
