--- The options of a node: their defaults, and the four places that set them.

local json = require 'dkjson'
local process = require 'spec.support.process'

local NULL = 'none' -- stands for a null of JSON

local MIB = 1024 * 1024

--- As documented: name, default, and a value from a script, a file, the environment and the command line.
local OPTIONS = {
  { 'name', nil, 'by-script', 'by-file', 'by-environment', 'by-line' },
  { 'listen', {}, { 'tcp://127.0.0.1:0' }, { 'tcp://127.0.0.2:0' }, { 'tcp://127.0.0.3:0' }, { 'tcp://127.0.0.4:0' } },
  { 'peers', {}, { 'tcp://127.0.0.1:1' }, { 'tcp://127.0.0.1:2' }, { 'tcp://127.0.0.1:3' }, { 'tcp://127.0.0.1:4' } },
  { 'mesh', nil, 'one', 'two', 'three', 'four' },
  { 'id', nil, ('1'):rep(32), ('2'):rep(32), ('3'):rep(32), ('4'):rep(32) },
  { 'insecure', false, true, false, true, false },
  { 'psk', nil, 'a.key', 'b.key', './c.key', 'd.key' },
  { 'relay', true, false, true, false, true },
  { 'link_cost', 0, 1.5, 2.5, 3.5, 4.5 },
  { 'admin', nil, '127.0.0.1:1', '127.0.0.1:2', '127.0.0.1:3', '127.0.0.1:4' },
  { 'advertise', {}, { 'tcp://a:1' }, { 'tcp://b:2' }, { 'tcp://c:3' }, { 'tcp://d:4' } },
  { 'request_timeout', 10, 1.5, 2.5, 3.5, 4.5 },
  { 'stall_timeout', 60, 1.5, 2.5, 3.5, 4.5 },
  { 'connect_timeout', 5, 1.5, 2.5, 3.5, 4.5 },
  { 'handshake_timeout', 10, 1.5, 2.5, 3.5, 4.5 },
  { 'heartbeat', 2, 1.5, 2.5, 3.5, 4.5 },
  { 'heartbeat_misses', 3, 4, 5, 6, 7 },
  { 'reconnect_max', 2, 1.5, 2.5, 3.5, 4.5 },
  { 'resume_window', 0.75, 0.5, 0.25, 0.125, 1.5 },
  { 'drain', 5, 1.5, 2.5, 3.5, 4.5 },
  { 'max_concurrency', 0, 4, 5, 6, 7 },
  { 'max_queue', 5000, 4, 5, 6, 7 },
  { 'max_peers', 1024, 4, 5, 6, 7 },
  { 'max_message', 64 * MIB, MIB, 2 * MIB, 3 * MIB, 4 * MIB },
  { 'cpu_limit', 5, 1.5, 2.5, 3.5, 4.5 },
  { 'memory_limit', 256 * MIB, 16 * MIB, 17 * MIB, 18 * MIB, 19 * MIB },
  { 'offload_threads', 0, 1, 2, 3, 4 },
  { 'offload_cpu_limit', 60, 1.5, 2.5, 3.5, 4.5 },
  { 'buffer_limit', 256 * MIB, 16 * MIB, 17 * MIB, 18 * MIB, 19 * MIB },
  { 'sandbox', false, nil, true, false, true },
  { 'allow', {}, nil, { 'fs', 'process' }, { 'net', 'env' }, { 'process', 'debug' } },
  { 'state_limit', 64 * MIB, 16 * MIB, 17 * MIB, 18 * MIB, 19 * MIB },
  { 'state_dir', nil, 'a', 'b', 'c', 'd' },
  { 'load_limit', 10, 1.5, 2.5, 3.5, 4.5 },
  { 'probation', 0, 1.5, 2.5, 3.5, 4.5 },
  { 'reload_drain', 300, 1.5, 2.5, 3.5, 4.5 },
  { 'cleanup_grace', 2, 1.5, 2.5, 3.5, 4.5 },
  { 'workers', 0, nil, 2, 3, 4 },
  { 'isolate', {}, nil, { 'app.lua', 'a.lua' }, { 'all' }, { 'app.lua', 'all' } },
  { 'replicas', {}, nil, { '2' }, { 'app.lua=3' }, { 'app.lua=4', '2' } },
  { 'max_restarts', 5, 1, 2, 3, 4 },
  { 'restart_window', 60, 1.5, 2.5, 3.5, 4.5 },
  { 'trace_sample', 0, 1, 2, 3, 100 },
  { 'strategy', nil, 'least', 'random', 'p2c', 'hash' },
  { 'region', nil, 'eu', 'us', 'asia', 'moon' },
  { 'log_level', 'info', 'debug', 'warn', 'error', 'off' },
  { 'log_format', 'text', 'text', 'json', 'text', 'json' },
}

--- Of a later version: known, so that it can be said.
local LATER = { 'http' }

local SINGULAR = { peers = 'peer' }

local function as_flag(name)
  return '--' .. (SINGULAR[name] or name):gsub('_', '-')
end

local function as_variable(name)
  return 'PERILUNE_' .. (SINGULAR[name] or name):upper()
end

local function as_text(value)
  return type(value) == 'table' and table.concat(value, ',') or tostring(value)
end

local function as_lua(value)
  if type(value) == 'table' then return ('{ %q }'):format(value[1]) end
  return ('%q'):format(value)
end

--- Runs a script with the option given by some sources; returns what holds, and whose it is.
---@param given { script: any, file: any, environment: any, line: any }
local function effective(name, given)
  local placed = name == 'isolate' or name == 'replicas' -- of a node that runs no script app.lua
  local argv, env = placed and { process.perilune, 'options', '--json' } or { process.perilune, 'run', 'app.lua' }, {}
  local files = {
    ['app.lua'] = ([[
      local json, mesh = require 'perilune.json', require 'perilune'
      %s
      print(json.encode(mesh.options()['%s']))
      pcall(os.exit, 0) -- it may listen, and would go on; in a sandbox it cannot
    ]]):format(given.script ~= nil and ('mesh.node { %s = %s }'):format(name, as_lua(given.script)) or '', name),
  }
  if given.file ~= nil then
    files['config.json'] = json.encode { [name] = given.file }
    argv[#argv + 1] = '--config=config.json'
  end
  if given.environment ~= nil then env[as_variable(name)] = as_text(given.environment) end
  if given.line ~= nil then argv[#argv + 1] = as_flag(name) .. '=' .. as_text(given.line) end
  if name == 'psk' then
    for letter in ('abcd'):gmatch '.' do files[letter .. '.key'] = ('k'):rep(16) end
  end
  local dir = process.temp_dir(files)
  if name == 'psk' then assert(os.execute(('chmod 600 %s/*.key'):format(dir))) end
  local p = process.run(argv, { cwd = dir, env = env })
  assert.equal(0, p.code, p.stderr)
  local answer = json.decode(p.stdout, 1, nil) -- null reads as nil
  if placed then answer = answer[name] end
  return answer.value, answer.source
end

local function options_of(...)
  local p = process.perilune_run('options', '--json', ...)
  assert.equal(0, p.code, p.stderr)
  return (json.decode(p.stdout, 1, NULL))
end

describe('the options of a node', function()
  it('are these, with these defaults', function()
    local expected = {}
    for _, option in ipairs(OPTIONS) do
      local default = option[2]
      expected[option[1]] = { value = default == nil and NULL or default, source = 'default' }
    end
    assert.same(expected, options_of())
  end)

  for _, option in ipairs(OPTIONS) do
    local name, default, script, file, environment, line = table.unpack(option, 1, 6)

    it(('take %s from line before environment before file before script before default'):format(name), function()
      local given = { script = script, file = file, environment = environment, line = line }
      for _, source in ipairs { { 'line', 'command line' }, { 'environment', 'environment' },
        { 'file', 'config file' }, { 'script', 'script' } } do
        if given[source[1]] == nil then goto continue end -- a script cannot say it of itself
        local value, by = effective(name, given)
        assert.equal(source[2], by)
        assert.same(given[source[1]], value)
        given[source[1]] = nil
        ::continue::
      end
      local value, by = effective(name, {})
      assert.same(default, value)
      assert.equal('default', by)
    end)
  end

  it('have a help text on the command line', function()
    local help = process.perilune_run('help', 'run').stdout
    for _, option in ipairs(OPTIONS) do
      assert.is_truthy(help:find('  ' .. as_flag(option[1]), 1, true), option[1])
    end
  end)

  it('may be written with a space, with =, and with underscores', function()
    for _, argv in ipairs {
      { '--request-timeout', '3' }, { '--request-timeout=3' }, { '--request_timeout=3' },
    } do
      assert.equal(3, options_of(table.unpack(argv)).request_timeout.value)
    end
    assert.is_true(options_of('--insecure').insecure.value)
    assert.is_false(options_of('--insecure=false').insecure.value)
  end)

  it('take sizes with a unit', function()
    assert.equal(1.5 * MIB, options_of('--max-message', '1.5MiB').max_message.value)
    assert.equal(32 * 1024, options_of('--max-message=32KiB').max_message.value)
    local p = process.perilune_run('options', '--json', { env = { PERILUNE_MEMORY_LIMIT = '1GiB' } })
    assert.equal(1024 * MIB, json.decode(p.stdout).memory_limit.value)
  end)

  it('collect a list on the command line, and split it at commas in the environment', function()
    local a, b = 'tcp://127.0.0.1:1', 'unix:///tmp/b'
    assert.same({ a, b }, options_of('--peer', a, '--peer', b).peers.value)
    local env = { PERILUNE_PEER = a .. ', ' .. b }
    local p = process.perilune_run('options', '--json', { env = env })
    assert.same({ a, b }, json.decode(p.stdout).peers.value)
    p = process.perilune_run('options', '--json', '--peer', b, { env = env })
    assert.same({ b }, json.decode(p.stdout).peers.value)
  end)

  it('come from the file that PERILUNE_CONFIG names, unless --config names another', function()
    local dir = process.temp_dir { ['a.json'] = '{"drain": 1}', ['b.json'] = '{"drain": 2}' }
    local run = { cwd = dir, env = { PERILUNE_CONFIG = 'a.json' } }
    assert.equal(1, json.decode(process.perilune_run('options', '--json', run).stdout).drain.value)
    local p = process.perilune_run('options', '--json', '--config', 'b.json', run)
    assert.equal(2, json.decode(p.stdout).drain.value)
  end)

  it('are shown to people in a table', function()
    local lines = process.perilune_run('options', '--drain', '7').stdout
    assert.matches('OPTION +VALUE +SOURCE\n', lines)
    assert.matches('\ndrain +7 +command line\n', lines)
    assert.matches('\nrequest_timeout +10 +default\n', lines)
    assert.matches('\nname +%- +default\n', lines)
  end)
end)

describe('a wrong option', function()
  --- What is wrong with it on the command line, in the environment and in a file, word for word.
  local WRONG = {
    { 'request_timeout', 'soon', "request_timeout: 'soon' is not a number" },
    { 'request_timeout', '-1', 'request_timeout: -1 is not between 0 and 1e+09' },
    { 'request_timeout', 'nan', "request_timeout: 'nan' is not a number" },
    { 'heartbeat', '0', 'heartbeat: 0 is not between 0.01 and 1e+09' },
    { 'max_queue', '1.5', 'max_queue: 1.5 is not a whole number' },
    { 'max_message', '5XB', "max_message: '5XB' is not a number" },
    { 'insecure', 'maybe', "insecure: 'maybe' is neither true nor false" },
    { 'id', 'abc', "id: 'abc' is not 32 hexadecimal digits" },
    { 'name', 'a\tb', 'name: control characters are not allowed' },
    { 'log_level', 'loud', "log_level: 'loud' is not debug, info, warn, error or off" },
    { 'log_format', 'xml', "log_format: 'xml' is not text or json" },
    { 'listen', 'localhost', "listen: 'localhost' is not an address: " },
    { 'psk', './none.key', 'psk: cannot open the key file: No such file or directory; the option names a file' },
    { 'psk', '/', 'psk: / is not a regular file' },
    { 'strategy', 'best', "strategy: 'best' is no strategy: least, round_robin, " },
    { 'region', ('x'):rep(64), 'region: longer than 63 bytes' },
    { 'http', 'tcp://127.0.0.1:80', 'http: not available in this version' },
  }

  local function refused(p, ...)
    assert.equal(2, p.code, p.stderr)
    assert.equal('', p.stdout)
    for _, part in ipairs { ... } do
      assert.is_truthy(p.stderr:find(part, 1, true), p.stderr)
    end
  end

  for _, wrong in ipairs(WRONG) do
    local name, text, why = table.unpack(wrong)
    it(('is refused: %s = %q'):format(name, text), function()
      refused(process.perilune_run('options', as_flag(name) .. '=' .. text), ': ' .. why)
      refused(process.perilune_run('options', { env = { [as_variable(name)] = text } }),
        'environment variable ' .. as_variable(name) .. ': ' .. why)
      local dir = process.temp_dir { ['c.json'] = json.encode { [name] = text } }
      refused(process.perilune_run('options', '--config', 'c.json', { cwd = dir }), 'c.json: ' .. name .. ': ')
    end)
  end

  for text, why in pairs {
    ['{"drain": "5"}'] = 'c.json: drain: a number is expected',
    ['{"drain": true}'] = 'c.json: drain: a number is expected',
    ['{"drain": null}'] = 'c.json: drain: a string, number, boolean or list is expected',
    ['{"name": 5}'] = 'c.json: name: a string is expected',
    ['{"insecure": 1}'] = 'c.json: insecure: true or false is expected',
    ['{"peers": 5}'] = 'c.json: peers: a string or a list of strings is expected',
    ['{"peers": ["tcp://h:1", 5]}'] = 'c.json: peers[2]: a string is expected',
    ['{"peer": "tcp://h:1"}'] = 'c.json: peer: unknown option',
    ['{"drian": 5}'] = 'c.json: drian: unknown option',
    ['[]'] = 'c.json: one JSON object of options is expected',
    ['{"drain": 5'] = 'c.json:1:12: ',
    ['{"drain": 5, "drain": 6}'] = 'c.json:1:',
    [''] = 'c.json:1:1: ',
  } do
    it('is refused in a file: ' .. text, function()
      local dir = process.temp_dir { ['c.json'] = text }
      refused(process.perilune_run('options', '--config', 'c.json', { cwd = dir }), 'INVALID: ' .. why)
    end)
  end

  it('is a file that is not there, or cannot be one', function()
    refused(process.perilune_run('options', '--config', '/nowhere/c.json'),
      'cannot open the configuration file /nowhere/c.json: No such file or directory')
    refused(process.perilune_run('options', { env = { PERILUNE_CONFIG = '/' } }), 'configuration file /: ')
    local dir = process.temp_dir { ['c.json'] = (' '):rep(MIB + 1) }
    refused(process.perilune_run('options', '--config', 'c.json', { cwd = dir }), 'larger than 1 MiB')
  end)

  --- In a script it raises at the line that calls mesh.node.
  for given, why in pairs {
    ['request_timeout = -1'] = 'mesh.node: request_timeout: -1 is not between 0 and 1e+09',
    ["request_timeout = '5'"] = 'mesh.node: request_timeout: a number is expected, got string',
    ['name = 5'] = 'mesh.node: name: a string is expected, got number',
    ["insecure = 'yes'"] = 'mesh.node: insecure: a boolean is expected, got string',
    ['peers = { 5 }'] = 'mesh.node: peers[1]: a string is expected, got number',
    ["peer = { 'tcp://h:1' }"] = "mesh.node: unknown option 'peer'",
    ['requesttimeout = 5'] = "mesh.node: unknown option 'requesttimeout'",
    ['5'] = 'mesh.node: options have names, got a number',
    ["psk = 'secret'"] = 'mesh.node: psk: cannot open the key file: No such file or directory',
    ['psk = 5'] = 'mesh.node: psk: a string is expected, got number',
    ["name = 'a\\0b'"] = 'mesh.node: name: a NUL byte is not allowed',
  } do
    it('raises in a script: ' .. given, function()
      local dir = process.temp_dir {
        ['app.lua'] = "local mesh = require 'perilune'\n\nmesh.node { " .. given .. ' }\n',
      }
      local p = process.perilune_run('run', 'app.lua', { cwd = dir })
      assert.equal(1, p.code)
      assert.is_truthy(p.stderr:find('app.lua:3: ' .. why, 1, true), p.stderr)
    end)
  end

  it('leaves a script with none of the options that came with it', function()
    local dir = process.temp_dir {
      ['app.lua'] = [[
        local mesh = require 'perilune'
        pcall(mesh.node, { drain = 1, heartbeat = -1, reconnect_max = 1, max_queue = 1 })
        for name, option in pairs(mesh.options()) do
          if option.source ~= 'default' then print(name) end
        end
      ]],
    }
    local p = process.perilune_run('run', 'app.lua', { cwd = dir })
    assert.equal(0, p.code, p.stderr)
    assert.equal('', p.stdout)
  end)

  it('and mesh.node twice, or late, raise', function()
    for _, text in ipairs {
      'mesh.node {} mesh.node {}', "mesh.action('a', print) mesh.node {}", 'mesh.self() mesh.node {}',
    } do
      local dir = process.temp_dir { ['app.lua'] = "local mesh = require 'perilune' " .. text }
      local p = process.perilune_run('run', 'app.lua', { cwd = dir })
      assert.equal(1, p.code)
      assert.matches('mesh%.node: .*once, before anything else', p.stderr)
    end
  end)
end)

describe('the limits that a script sets for itself', function()
  it('hold for the task that sets them', function()
    -- The thread sanitizer delivers signals at system calls only.
    for option, body in pairs { cpu_limit = 'while true do os.time() end', memory_limit = "return ('x'):rep(1e8)" } do
      local value = option == 'cpu_limit' and '0.2' or tostring(8 * MIB)
      local dir = process.temp_dir {
        ['app.lua'] = ("require('perilune').node { %s = %s } %s"):format(option, value, body),
      }
      local p = process.perilune_run('run', 'app.lua', { cwd = dir })
      assert.equal(1, p.code)
      assert.matches(option:upper() .. ': ', p.stderr)
    end
  end)
end)

describe('a client', function()
  it('takes no identity or address from what is meant for nodes', function()
    local server = process.start(
      { process.perilune, 'run', 'app.lua' },
      { cwd = process.temp_dir { ['app.lua'] = "require('perilune').action('one', function() return 1 end)" } })
    server:wait_line '^ready '
    local address = 'tcp://127.0.0.1:' .. process.free_port()
    local p = process.perilune_run('call', 'one', {
      env = { PERILUNE_LISTEN = address, PERILUNE_ID = ('0'):rep(31) .. '1', PERILUNE_NAME = 'server' },
    })
    assert.equal('1\n', p.stdout, p.stderr)
  end)

  it('does not take the options of a node', function()
    for _, name in ipairs { 'name', 'id', 'listen', 'advertise', 'insecure', 'drain', 'max_queue' } do
      local p = process.perilune_run('call', 'one', as_flag(name) .. '=x')
      assert.equal(2, p.code)
      assert.matches(as_flag(name):gsub('%-', '%%-') .. " is an option of 'perilune run'", p.stderr)
    end
  end)

  for _, name in ipairs(LATER) do
    it('knows that ' .. name .. ' comes later', function()
      local p = process.perilune_run('call', 'one', as_flag(name), 'x')
      assert.equal(2, p.code)
      assert.matches('^UNSUPPORTED: ' .. name .. ': not available in this version\n', p.stderr)
    end)
  end
end)
