--- All commands, whatever they are given, and whoever they are pointed at.

local peers = require 'spec.support.peers'
local process = require 'spec.support.process'
local socket = require 'spec.support.socket'

--- What each command takes: `given` are arguments that it can be called with; `missing` is the name of the one that it
--- cannot do without; `most` is how many words it takes, nil: any number; `asks` says that it looks for a node.
local COMMANDS = {
  run = { given = { 'app.lua' }, missing = 'FILE' },
  call = { given = { 'greet' }, missing = 'ACTION', asks = true },
  stream = { given = { 'greet' }, missing = 'ACTION', asks = true },
  nodes = { given = {}, most = 0, asks = true },
  actions = { given = {}, most = 0, asks = true },
  describe = { given = { 'greet' }, missing = 'ACTION', most = 1, asks = true },
  routes = { given = {}, most = 0, asks = true },
  explain = { given = { 'greet' }, missing = 'ACTION', asks = true },
  ping = { given = { 'worker' }, missing = 'NODE', most = 1, asks = true },
  reload = { given = {}, most = 1, asks = true },
  ps = { given = {}, most = 1, asks = true },
  kill = { given = { '7' }, missing = 'ID', most = 2, asks = true },
  mem = { given = {}, most = 1, asks = true },
  top = { given = { '--once' }, most = 1, asks = true },
  log = { given = {}, most = 0, asks = true },
  trace = { given = { ('0'):rep(31) .. '1' }, missing = 'ID', most = 1, asks = true },
  bench = { given = { 'greet' }, missing = 'ACTION', asks = true },
  repl = { given = {}, most = 0, asks = true },
  options = { given = {}, most = 0 },
  sim = { given = {}, most = 0 },
  new = { given = { 'made' }, missing = 'DIR', most = 1 },
  test = { given = { 'spec' } },
  types = { given = { '--actions' }, most = 0, asks = true },
  completion = { given = { 'bash' }, missing = 'SHELL', most = 1 },
  check = { given = { 'app.lua' }, missing = 'FILE', asks = true },
  version = { given = {}, most = 0 },
  help = { given = {}, most = 1 },
}

local function sorted(t)
  local names = {}
  for name in pairs(t) do names[#names + 1] = name end
  table.sort(names)
  return names
end

local NAMES = sorted(COMMANDS)

--- Runs one command line for each command that `choose` gives words for, a few at once, and hands all that came of it
--- to `judge`.
local function each(choose, judge, options, meanwhile)
  local TOGETHER = 6
  local cwd = process.temp_dir { ['app.lua'] = "require 'perilune'" }
  local waiting = {}
  local function settle()
    local one = table.remove(waiting, 1)
    while meanwhile and not one.process:ended(0.005) do meanwhile() end
    local code, signal = one.process:wait()
    judge(one.name, { code = code, signal = signal, stdout = one.process:stdout(), stderr = one.process:stderr(),
      line = one.process.command })
  end
  for _, name in ipairs(NAMES) do
    local words = choose(name, COMMANDS[name])
    if words then
      local argv = { process.perilune, name, table.unpack(words) }
      waiting[#waiting + 1] = { name = name, process = process.start(argv, { cwd = cwd, env = options }) }
      if #waiting == TOGETHER then settle() end
    end
  end
  while waiting[1] do settle() end
end

local function joined(...)
  local list = {}
  for _, part in ipairs { ... } do table.move(part, 1, #part, #list + 1, list) end
  return list
end

--- A usage error: exit code 2, nothing on standard output, what is wrong in the first line, and where to read on.
local function assert_usage(name, run, pattern)
  local said = run.line .. '\n' .. run.stderr
  assert.equal(2, run.code, said)
  assert.equal('', run.stdout, said)
  assert(run.stderr:match('^[^\n]*' .. pattern), said)
  assert(run.stderr:find("perilune help " .. name, 1, true) or name == 'help' or name == 'version'
    or run.stderr:find('perilune ' .. name, 1, true), said)
end

describe('every command', function()
  it('is in this table', function()
    local told = {}
    for name in process.perilune_run('help').stdout:gmatch '\n  (%l+) +%l' do told[#told + 1] = name end
    table.sort(told)
    assert.same(told, NAMES)
  end)

  it('says what is missing', function()
    each(function(_, c) return c.missing and {} end,
      function(name, run) assert_usage(name, run, 'INVALID: ' .. COMMANDS[name].missing .. ' is missing') end)
  end)

  it('says what is too much', function()
    each(function(_, c)
      if not c.most then return end
      local words = { table.unpack(c.missing and c.given or {}) }
      for i = #words + 1, c.most + 1 do words[i] = 'w' .. i end
      return words
    end, function(name, run)
      assert_usage(name, run, "INVALID: unexpected argument 'w" .. COMMANDS[name].most + 1 .. "'")
    end)
  end)

  it('knows its options, and that they have values', function()
    local passes = { test = true } -- options of busted
    each(function(name, c)
      return not passes[name] and joined(c.given, { '--no-such-option' }) or nil
    end, function(name, run) assert_usage(name, run, '%-%-no%-such%-option') end)
    each(function(_, c) return c.asks and joined(c.given, { '--peer' }) end,
      function(name, run) assert_usage(name, run, 'INVALID: %-%-peer needs a value') end)
  end)

  it('takes any bytes for a word, and writes none that steer a terminal', function()
    for _, word in ipairs { '\27[2J\27]0;x\7', '\255\254\128a\nb\r', ('x'):rep(100000), '%s%n/../..' } do
      local takes_words = { new = false, completion = false, version = false, help = false, test = false, sim = false }
      each(function(name)
        if takes_words[name] == nil then return { word } end
      end, function(_, run)
        local said = run.line:sub(1, 200) .. '\n' .. run.stderr:sub(1, 2000)
        assert.is_nil(run.signal, said)
        assert.is_true(run.code >= 1 and run.code <= 3, said)
        assert.equal('', run.stdout, said)
        assert.is_nil(run.stderr:find '[%c\127]' and run.stderr:find '[^%C\n\t]', said)
        assert(#run.stderr < 5000, 'it says too much: ' .. said)
      end)
    end
  end)
end)

describe('every command that asks a node', function()
  --- Points all of them at the URL, each with its words.
  local function ask(url, judge, options, meanwhile)
    each(function(_, c) return c.asks and joined(c.given, { '--peer', url }) end, judge, options, meanwhile)
  end

  local function assert_out_of_reach(url, why)
    return function(_, run)
      local said = run.line .. '\n' .. run.stderr
      assert.equal(3, run.code, said)
      assert.equal('', run.stdout, said)
      assert(run.stderr:find('^CONNECT_FAILED: no node was reached\n'), said)
      assert(run.stderr:find(url .. ': ' .. why, 1, true), said)
    end
  end

  it('says that it is down', function()
    local url = 'tcp://127.0.0.1:' .. process.free_port()
    ask(url, assert_out_of_reach(url, 'connection refused'))
  end)

  it('says that none runs', function()
    each(function(_, c) return c.asks and c.given end, function(name, run)
      if name == 'check' then return end -- which then looks at the text alone
      assert.equal(3, run.code, run.line .. run.stderr)
      assert.matches("^CONNECT_FAILED: no node runs in the local mesh 'default' of this user\n", run.stderr)
    end)
  end)

  --- What listens there, says these bytes to whoever comes, and nothing more.
  local function talker(bytes)
    local listener, url = socket.listen()
    local there = {}
    ask(url, function(name, run)
      local said = run.line .. '\n' .. run.stderr
      assert.equal(3, run.code, said)
      assert.equal('', run.stdout, said)
      assert(run.stderr:find('^CONNECT_FAILED: no node was reached\n  ' .. url:gsub('%p', '%%%0') .. ': '), said)
      assert.is_nil(run.stderr:find '[^%C\n]', said)
      there[name] = run.stderr
    end, nil, function()
      while listener:waits() do
        local s = listener:accept()
        s:send(bytes)
        s:finish()
      end
    end)
    return there
  end

  it('says that one is of another version', function()
    for name, told in pairs(talker 'PLN\n\2\0\0\0') do
      assert(told:find('speaks protocol 2.0, this node speaks 1.0', 1, true), name .. '\n' .. told)
    end
  end)

  it('gives up on one that says what is no protocol', function()
    talker 'HTTP/1.1 400 \27[2J\27]0;x\7\r\n\r\n'
    talker(peers.PREAMBLE .. peers.frame(peers.types.HELLO, ('\x91'):rep(2000)))
  end)

  it('gives up on one that does not answer', function()
    local _, url = socket.listen()
    ask(url, assert_out_of_reach(url, 'no handshake within 0.2 s'), { PERILUNE_HANDSHAKE_TIMEOUT = '0.2' })
  end)
end)
