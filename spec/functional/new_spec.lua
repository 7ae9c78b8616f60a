--- `perilune new`: projects that work as they are.

local json = require 'dkjson'
local process = require 'spec.support.process'

local function new(dir, ...)
  local arguments = { ... }
  arguments[#arguments + 1] = { cwd = dir }
  return process.perilune_run('new', table.unpack(arguments))
end

local function read(path)
  local file <close> = assert(io.open(path, 'rb'))
  return file:read 'a'
end

local function run_in(dir, ...)
  local arguments = { ... }
  arguments[#arguments + 1] = { cwd = dir }
  return process.perilune_run(table.unpack(arguments))
end

local function assert_valid(dir)
  for _, name in ipairs { '.luarc.json', 'node.json' } do
    assert.equal('table', type(json.decode(read(dir .. '/' .. name))), name)
  end
  local options = run_in(dir, 'options', '--config', 'node.json')
  assert.equal(0, options.code, options.stderr)
end

describe('perilune new', function()
  it('makes a service whose specs pass, which serves, and says what to type', function()
    local base = process.temp_dir()
    local made = new(base, 'greeter')
    assert.same({ 0, '' }, { made.code, made.stderr })
    local dir = base .. '/greeter'
    assert_valid(dir)
    assert.equal('greeter', json.decode(read(dir .. '/node.json')).name)
    assert.truthy(read(dir .. '/README.md'):find('# greeter\n', 1, true))
    assert.is_nil(read(dir .. '/service.lua'):find('$', 1, true))

    assert.same({ '', 0 }, { run_in(dir, 'check', 'service.lua').stdout, run_in(dir, 'check', 'service.lua').code })
    local specs = run_in(dir, 'test')
    assert.equal(0, specs.code, specs.stdout .. specs.stderr)
    assert.matches('4 successes', specs.stdout)

    -- Exactly what it told.
    local commands = {}
    for command in made.stdout:gmatch '\n  ([^\n]+)' do commands[#commands + 1] = command end
    assert.same({ 'cd greeter', 'perilune test', 'perilune run service.lua --config node.json --watch',
      [[perilune call greet '"Ada"']], 'perilune stream count 5' }, commands)
    process.start({ process.perilune, 'run', 'service.lua', '--config', 'node.json', '--watch' }, { cwd = dir })
      :wait_line '^ready name=greeter '
    assert.equal('"hello, Ada"\n', process.perilune_run('call', 'greet', '"Ada"').stdout)
    local count = process.perilune_run('stream', 'count', '3')
    assert.same({ '1\n2\n3\n', '"done"\n' }, { count.stdout, count.stderr })
    assert.matches('^NO_NAME: an empty name cannot be greeted\n', process.perilune_run('call', 'greet', '""').stderr)
    assert.matches('^INVALID: args%[1%]: string expected, got', process.perilune_run('call', 'greet', '5').stderr)
  end)

  it('makes a client of it', function()
    local base = process.temp_dir()
    assert.equal(0, new(base, 'greeter').code)
    local made = new(base, 'asker', '--template', 'client')
    assert.same({ 0, '' }, { made.code, made.stderr })
    assert_valid(base .. '/asker')
    local specs = run_in(base .. '/asker', 'test')
    assert.equal(0, specs.code, specs.stdout .. specs.stderr)
    assert.matches('3 successes', specs.stdout)

    process.start({ process.perilune, 'run', 'service.lua' }, { cwd = base .. '/greeter' }):wait_line '^ready '
    local client = run_in(base .. '/asker', 'run', 'client.lua', '--config', 'node.json', '--', 'Ada', 'Bob')
    assert.same({ 0, 'hello, Ada\nhello, Bob\n1\n2\n3\n4\n5\n' }, { client.code, client.stdout }, client.stderr)
  end)

  it('makes projects in which a wrong argument is found before they run', function()
    local base = process.temp_dir()
    assert.equal(0, new(base, 'greeter').code)
    assert.equal(0, new(base, 'asker', '--template', 'client').code)
    local service = process.start({ process.perilune, 'run', 'service.lua' }, { cwd = base .. '/greeter' })
    service:wait_line '^ready '
    for dir, scripts in pairs { greeter = { 'service.lua' }, asker = { 'client.lua', 'greetings.lua' } } do
      local right = run_in(base .. '/' .. dir, 'check', table.unpack(scripts))
      assert.same({ 0, '' }, { right.code, right.stdout }, right.stderr)
    end
    local path = base .. '/asker/greetings.lua'
    local source <close> = assert(io.open(path))
    local text, count = source:read('a'):gsub("mesh%.stream%('count', max%)", "mesh.stream('count', 'five')")
    assert.equal(1, count)
    local changed <close> = assert(io.open(path, 'w'))
    changed:write(text)
    changed:close()
    local wrong = run_in(base .. '/asker', 'check', 'client.lua', 'greetings.lua')
    assert.equal(1, wrong.code)
    assert.matches("^greetings.lua:%d+:%d+: 'count': args%[1%]: int of at least 0 expected, got string 'five'\n$",
      wrong.stdout)
    local types = run_in(base .. '/asker', 'types', '--actions')
    assert(types.stdout:find("fun(name: 'count', max: integer): perilune.Stream", 1, true))
  end)

  it('takes who has never seen it to a stream that reaches a second node, and through an edit', function()
    local base = process.temp_dir()
    assert.equal(0, new(base, 'greeter').code)
    local service = process.start({ process.perilune, 'run', 'service.lua', '--config', 'node.json', '--watch' },
      { cwd = base .. '/greeter' })
    service:wait_line '^ready name=greeter '
    assert.equal(0, new(base, 'asker', '--template', 'client').code)
    local asker = process.start({ process.perilune, 'run', 'client.lua', '--config', 'node.json', '--', 'Ada' },
      { cwd = base .. '/asker' })
    asker:wait_line '^hello, Ada$'
    asker:wait_line '^1$'
    asker:wait_line '^2$'

    local path = base .. '/greeter/service.lua'
    local text = read(path)
    local function save(changed)
      local file <close> = assert(io.open(path, 'wb'))
      file:write(changed)
    end
    save((text:gsub('hello, ', 'welcome, '):gsub('yield%(i%)', 'yield(i * i)')))
    service:wait_line '^reloaded service.lua generation 2 in .*~count ~greet'
    assert.equal(0, asker:wait(), asker:stderr()) -- its stream goes on in the version where it began
    assert.equal('hello, Ada\n1\n2\n3\n4\n5\n', asker:stdout())

    local again = run_in(base .. '/asker', 'run', 'client.lua', '--config', 'node.json', '--', 'Ada')
    assert.same({ 0, 'welcome, Ada\n1\n4\n9\n16\n25\n' }, { again.code, again.stdout }, again.stderr)
    save 'oops'
    service:wait_line '^cannot reload service.lua, generation 2 goes on: service.lua:1: '
    assert.equal('"welcome, Bob"\n', process.perilune_run('call', 'greet', '"Bob"').stdout)
  end)

  it('takes a name, or makes one of that of the folder', function()
    local base = process.temp_dir()
    assert.equal(0, new(base, 'a/b c/d', '--name', 'my-service.2').code)
    assert.equal('my-service.2', json.decode(read(base .. '/a/b c/d/node.json')).name)
    local made = new(base, 'é x/')
    assert.matches("\n  cd 'é x/'\n", made.stdout)
    assert.equal('x', json.decode(read(base .. '/é x/node.json')).name)
    assert.matches('\n  cd %./%-x\n', new(base, '--', '-x').stdout)
    assert.equal(0, process.run({ 'sh', '-c', 'mkdir here && cd here && exec "$0" new .', process.perilune },
      { cwd = base }).code)
    assert.equal('here', json.decode(read(base .. '/here/node.json')).name)
  end)

  it('touches no folder that has something in it, unless forced', function()
    local base = process.temp_dir { ['full/service.lua'] = 'mine', ['full/other.lua'] = 'mine too', ['file'] = '' }
    local refused = new(base, 'full')
    assert.same({ 1, '' }, { refused.code, refused.stdout })
    assert.matches('^INVALID: the folder full is not empty\n  %-%-force ', refused.stderr)
    assert.equal('mine', read(base .. '/full/service.lua'))
    assert.is_nil(io.open(base .. '/full/node.json'))

    assert.equal(0, new(base, 'full', '--force').code)
    assert.matches('mesh.action', read(base .. '/full/service.lua'))
    assert.equal('mine too', read(base .. '/full/other.lua'))
    assert.same({ 1, 'INVALID: file is there, and no folder\n' },
      { new(base, 'file').code, new(base, 'file', '--force').stderr })
  end)

  it('says what is wrong with what it is asked for', function()
    local base = process.temp_dir()
    for pattern, arguments in pairs {
      ['^INVALID: DIR is missing: perilune new DIR'] = {},
      ["^INVALID: unexpected argument 'b'"] = { 'a', 'b' },
      ["^INVALID: no template 'desktop'; there are service and client\n"] = { 'a', '--template', 'desktop' },
      ["^INVALID: no option '%-%-tempalte'; did you mean '%-%-template'"] = { 'a', '--tempalte', 'x' },
      ["^INVALID: %-%-name: '%.%./x' is not made of"] = { 'a', '--name', '../x' },
      ['^INVALID: %-%-name: '] = { 'a', '--name', ('n'):rep(65) },
      ['^INVALID: DIR is empty'] = { '' },
    } do
      local run = new(base, table.unpack(arguments))
      assert.same({ 2, '' }, { run.code, run.stdout }, pattern)
      assert.matches(pattern, run.stderr)
    end
    local run = new(base, '/proc/none')
    assert.equal(1, run.code)
    assert.matches('^IO_ERROR: .*/proc/none', run.stderr)
    assert.is_nil(io.open(base .. '/a'))
  end)
end)
