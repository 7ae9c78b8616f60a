--- The table of the API: held against the running modules, and what is written of it.

local nodes = require 'spec.support.nodes'
local process = require 'spec.support.process'
local types = require 'perilune.api.types'

local function read(path)
  local file <close> = assert(io.open(path, 'rb'))
  return file:read 'a'
end

local function run(...)
  local result = process.perilune_run(...)
  assert.equal(0, result.code, result.stderr)
  return result.stdout
end

--- Every file that `perilune types` writes in a format.
local function written(format, ...)
  local folder = process.temp_dir {}
  assert.equal('', run('types', '--format', format, '--output', folder, ...))
  local files = {}
  local list <close> = assert(io.popen(("cd '%s' && find . -type f | sort"):format(folder)))
  for name in list:lines() do
    name = name:sub(3)
    files[#files + 1] = { path = name, text = read(folder .. '/' .. name) }
  end
  assert.is_true(#files > 13)
  return files
end

local PROBE = process.root .. '/spec/support/api_probe.lua'

describe('the table of the API', function()
  it('has what the running modules have: functions, handles, fields and options, no less and no more', function()
    assert.matches('^%d%d options compared\n$', run('run', PROBE))
  end)

  it('is compared so that a difference either way is told', function()
    local dir = process.temp_dir { ['broken.lua'] = [[
      local api = require 'perilune.api'
      local fs = api.module 'fs'
      fs.functions[1].name = 'opened'
      fs.classes[1].methods[1].name = 'reads'
      table.remove(api.module 'mesh'.values)
      for _, class in ipairs(api.module 'mesh'.classes) do
        if class.name == 'perilune.CallOptions' then class.fields[1][1] = 'timeouts' end
      end
      dofile(arg[1])
    ]] }
    local told = run('run', dir .. '/broken.lua', '--', PROBE)
    for _, line in ipairs {
      'perilune.fs: the table has opened, the runtime has not', 'perilune.fs: the runtime has open, the table has not',
      'perilune.File: the table has reads, the runtime has not', 'perilune: the runtime has shared, the table has not',
      'options of perilune.with: the table has timeouts, the runtime has not',
      'options of perilune.with: the runtime has timeout, the table has not',
    } do
      assert.truthy(told:find(line, 1, true), line .. '\n-- told --\n' .. told)
    end
  end)
end)

--- Raises unless a type begins at `at`, followed by a blank or nothing; returns what follows.
local function after_type(line, at)
  local one, after = types.parse(line, at)
  assert(one, 'no type: ' .. line)
  local rest = line:sub(after)
  assert(rest == '' or rest:find '^ %S', 'what follows the type: ' .. line)
  return rest
end

local TAGS = {
  meta = function(line) assert.matches('^%-%-%-@meta [%w.]+$', line) end,
  class = function(line) assert.matches('^%-%-%-@class [%w_.]+$', line) end,
  alias = function(line)
    if line == '---@alias perilune.ActionName' then return end -- its lines follow
    assert.equal('', after_type(line, assert(line:match '^%-%-%-@alias [%w.]+ ()')))
  end,
  operator = function(line) assert.equal('', after_type(line, assert(line:match '^%-%-%-@operator call: ()'))) end,
  field = function(line)
    after_type(line, assert(line:match '^%-%-%-@field [%w_]+ ()' or line:match '^%-%-%-@field %[string%] ()', line))
  end,
  param = function(line)
    after_type(line, assert(line:match '^%-%-%-@param [%w_]+ ()' or line:match '^%-%-%-@param %.%.%. ()', line))
  end,
  ['return'] = function(line)
    local rest = after_type(line, (line:match '^%-%-%-@return ()'))
    assert(rest == '' or rest:find '^ # ' or rest:find '^ [%w_]+$' or rest:find '^ [%w_]+ # ' or rest:find '^ %.%.%.',
      line)
  end,
  overload = function(line) assert.equal('', after_type(line, (line:match '^%-%-%-@overload ()fun%('))) end,
}

--- Raises unless every line is LuaCATS, and all of it Lua.
local function assert_luacats(file)
  assert(load(file.text, '=' .. file.path, 't'))
  local count = 0
  for line in file.text:gmatch '[^\n]+' do
    local tag = line:match '^%-%-%-@(%l+)'
    if tag then
      count = count + 1
      assert(TAGS[tag], line)(line)
    elseif line:find '^%s*%-%-' then
      local is_text = line:find '^%-%-%- %S' or line == '---' or line:find '^%-%- %S'
      local is_name = line:find "^%-%-%-| '[^']+'$" or line:find "^%-%-%-| '[^']+' # %S" or line == '---| string'
      assert(is_text or is_name, line)
    end
  end
  assert.is_true(count > 3)
end

describe('the annotations', function()
  local files

  setup(function() files = written 'luacats' end)

  it('are LuaCATS, line by line, and Lua', function()
    for _, file in ipairs(files) do assert_luacats(file) end
  end)

  it('name in each function the parameters that it has', function()
    for _, file in ipairs(files) do
      local params = {}
      for line in file.text:gmatch '[^\n]+' do
        params[#params + 1] = line:match '^%-%-%-@param (%S+)'
        local names = line:match '^function [%w_.:]+%((.*)%) end$'
        if names then
          assert.equal(table.concat(params, ', '), names, file.path .. ': ' .. line)
          params = {}
        end
      end
    end
  end)

  it('mention no type that is not declared', function()
    local declared = {}
    for _, file in ipairs(files) do
      for _, tag in ipairs { 'class', 'alias' } do
        for name in file.text:gmatch('%-%-%-@' .. tag .. ' ([%w_.]+)') do declared[name] = true end
      end
    end
    for _, file in ipairs(files) do
      for line in file.text:gmatch '%-%-%-@[fpr]%l+ ([^\n]+)' do
        for name in line:gsub('`.-`', ''):gsub('#.*', ''):gmatch 'perilune%.[%w_.]*[%w_]' do
          assert.is_true(declared[name] or name == 'perilune.sim', line)
        end
      end
    end
  end)
end)

describe('the annotations of a mesh', function()
  it('have its actions as overloads, with what they say of themselves', function()
    local node = nodes.start('one', { listen = 'tcp' }, [[
      mesh.action('sum', function(numbers, scale, ...) end, {
        description = 'adds\nnumbers', returns = { 'number', '?string' },
        params = { { list = { type = 'number', optional = true } }, '?int' },
      })
      mesh.action('user', function(name, last, _ENV) end, { params = {
        { name = 'string', kind = { enum = { 'a', 1, "it's" } }, ['end'] = 'bytes',
          more = { list = { enum = { 'x', 'y' } } } },
        { fields = {}, extra = 'int', optional = true }, 'any...',
      } })
      mesh.action('plain', function(a, b, ...) end)
      mesh.action("it's", function() end)
      mesh.action('math.add', function(a, b) end,
        { params = { 'int', 'int' }, returns = { 'int' }, description = 'adds' })
      mesh.action('math.end', function() end)
    ]])
    local files = written('luacats', '--peer', node.url)
    local text = files[1].text
    assert.equal('perilune.lua', files[1].path)
    assert_luacats(files[1])
    assert.truthy(text:find('\n---@class perilune.Proxy.math\n'
      .. '---@field add perilune.Member|fun(a: integer, b: integer): integer adds\n\n', 1, true))
    assert.truthy(text:find("ActionName\n---| string\n---| 'math.add' # adds\n---| 'math.end'\n"
      .. "---| 'plain'\n---| 'sum' # adds\n---| 'user'\n\n", 1, true))
    for _, overload in ipairs {
      "fun(name: 'math', options: perilune.CallOptions?): perilune.Proxy.math",
      "fun(name: 'plain', a?: any, b?: any, ...: any): ...: any",
      "fun(name: 'sum', numbers: (number?)[], scale: integer?): number, string?",
      "fun(name: 'sum', numbers: (number?)[], scale: integer?): perilune.Stream",
      "fun(name: 'user', arg1: { ['end']: string, kind: 'a'|1|string, more: ('x'|'y')[], name: string }, "
        .. 'last: { [string]: any }?, ...: any): ...: any',
    } do
      assert.truthy(text:find('\n---@overload ' .. overload .. '\n', 1, true), overload .. '\n' .. text:sub(1, 9000))
    end
    assert.equal(text, run('types', '--actions', '--peer', node.url):match '^%-%- perilune.lua\n(.-\n)\n%-%- perilune/')
  end)

  it('need somebody to ask', function()
    assert.equal(3, process.perilune_run('types', '--peer', 'tcp://127.0.0.1:1').code)
    assert.equal(3, process.perilune_run('types', '--actions').code)
    local result = process.perilune_run('types', { env = { PERILUNE_PEER = 'tcp://127.0.0.1:1' } })
    assert.equal(0, result.code, result.stderr)
  end)
end)

describe('the reference', function()
  it('is as ./dev reference writes it', function()
    local names = {}
    for _, page in ipairs(written 'markdown') do
      assert.equal(page.text, read('docs/reference/' .. page.path), page.path)
      names[page.path] = true
    end
    local list <close> = assert(io.popen 'ls docs/reference')
    for name in list:lines() do assert.is_true(names[name], name) end
  end)
end)

describe('perilune types', function()
  it('prints all modules, or writes them as one file', function()
    local printed = run 'types'
    for _, path in ipairs { 'perilune.lua', 'perilune/fs.lua', 'perilune/sim.lua' } do
      assert.truthy(printed:find(('-- %s\n---@meta '):format(path), 1, true), path)
    end
    local folder = process.temp_dir {}
    assert.equal('', run('types', '--output', folder .. '/all.lua'))
    assert.equal(printed, read(folder .. '/all.lua'))
    assert.equal('', run('types', '-o', folder .. '/short.lua'))
    assert.equal(printed, read(folder .. '/short.lua'))
    assert.truthy(run('help', 'types'):find('; also -o\n', 1, true))
    assert.matches('^%-%- README.md\n# Reference\n', run('types', '--format=markdown'))
  end)

  it('refuses what makes no sense', function()
    for _, arguments in ipairs {
      { '--format', 'xml' }, { '--output', '' }, { '--output' }, { '-o' }, { '-oo', 'x' },
      { '-x' }, { 'word' }, { '--outputs', 'x' },
    } do
      assert.equal(2, process.perilune_run('types', table.unpack(arguments)).code, table.concat(arguments, ' '))
    end
    assert.equal(1, process.perilune_run('types', '--output', '/dev/null/types').code)
  end)

  it('ends quietly when nobody reads on', function()
    local command = ("'%s' types | head -1"):format(process.perilune)
    local result = process.run { 'sh', '-c', command }
    assert.same({ 0, '-- perilune.lua\n', '' }, { result.code, result.stdout, result.stderr })
  end)
end)
