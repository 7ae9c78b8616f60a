--- The benchmark of the repository, bench/: its rows make sense, and the parts of the product do their work.

local process = require 'spec.support.process'

local BENCH = process.root .. '/bench/'

--- A module of bench/, loaded with the one that it needs.
local function module(name)
  local path = package.path
  package.path = BENCH .. '?.lua;' .. path
  local loaded = dofile(BENCH .. name .. '.lua')
  package.path, package.loaded.process = path, nil
  return loaded
end

describe('the benchmark', function()
  local rows = module 'rows'
  local report = module 'report'

  it('has rows of which each is told from the others, with a goal', function()
    local names, titles = {}, {}
    for _, row in ipairs(rows) do
      assert.is_nil(names[row.name], row.name)
      names[row.name] = true
      local title = row.title .. ' ' .. row.unit
      assert.is_nil(titles[title], title)
      titles[title] = true
      assert.is_true((row.most == nil) ~= (row.least == nil), row.name)
      assert.is_true(#row.title <= 30, row.name)
    end
  end)

  it('can measure each of its rows', function()
    local measure = module 'measure'
    local file <close> = assert(io.open(BENCH .. 'client.lua'))
    local client = file:read 'a'
    for _, row in ipairs(rows) do
      if row.by then
        assert.is_function(measure[row.by], row.name)
      else
        assert.truthy(client:find('\n  ' .. (row.work or row.name) .. ' = {', 1, true), row.name)
        assert.is_true(row.unit ~= 'GB/s' or row.bytes ~= nil, row.name)
      end
    end
  end)

  it('tells the names of its rows with its options', function()
    local p = process.run { 'lua5.4', BENCH .. 'run', '--what' }
    assert.equal(2, p.code)
    for _, row in ipairs(rows) do assert.truthy(p.stderr:find(row.name, 1, true), row.name) end
  end)

  it('prints its figures as a table for the docs', function()
    local lines = {}
    local print = _G.print
    _G.print = function(line) lines[#lines + 1] = line end
    local ok, err = pcall(report.print_markdown, {
      { row = { title = 'calls', unit = '/s', of = 'bare', least = 0.5 }, medians = { bare = 2e6, perilune = 1.5e6 },
        reached = 0.75, ok = true },
      { row = { title = 'time', unit = 'ms', most = 2 }, medians = { perilune = 3 }, reached = 3, ok = false },
      { row = { title = 'none', unit = 'ms', most = 2 }, medians = {} },
    }, {
      cpus = 2, cpu = 'A', kernel = '6', system = 'B', libuv = '1', lua = '5.4', commit = 'c', date = 'd',
      rounds = 3, seconds = 1,
    })
    _G.print = print
    assert.is_true(ok, err)
    assert.equal('2 x A, Linux 6, B, libuv 1, Lua 5.4; commit c, d; 3 rounds, 1 s a workload.\n', lines[1])
    assert.equal('| calls | 2 M/s | - | 1.5 M/s | >= 0.5 x bare | 0.75 | ok |', lines[4])
    assert.equal('| time | - | - | 3 ms | <= 2 ms | 3.00 | MISS |', lines[5])
    assert.equal('| none | - | - | - | <= 2 ms | - | skipped |', lines[6])
  end)

  describe('of the product', function()
    --- Starts a node and returns its address.
    local function start(...)
      local p = process.start { process.perilune, 'run', ... }
      return p:wait_line '^ready .*listen=(%S+)'
    end

    --- The fields of the line that a client prints.
    local function fields(...)
      local p = process.run { process.perilune, 'run', ... }
      assert.equal(0, p.code, p.stderr)
      local found = {}
      for name, value in p.stdout:gmatch '([%w_]+)=(%S+)' do found[name] = tonumber(value) or value end
      return found
    end

    it('calls, echoes and streams', function()
      local url = start(BENCH .. 'server.lua', '--listen', 'tcp://127.0.0.1:0')
      for _, work in ipairs { 'unary_1', 'unary_64', 'echo_256k', 'echo_1m', 'stream_1m', 'stream_5m' } do
        local f = fields(BENCH .. 'client.lua', '--peer', url, '--', work, '0.02')
        assert.equal(work, f.workload)
        assert.is_true(f.count > 0, work)
      end
      local f = fields(BENCH .. 'client.lua', '--peer', url, '--trace-sample', '100', '--', 'unary_64', '0.02')
      assert.is_true(f.count > 0)
      local p = process.run { process.perilune, 'call', 'sum', '[10,20,30]', '--peer', url }
      assert.equal('60\n', p.stdout)
    end)

    it('tells what a mesh at rest sends, and what it costs to know of others', function()
      assert.is_true(fields(BENCH .. 'news.lua', '--', '3', 'rest').bytes > 0)
      assert.is_number(fields(BENCH .. 'known.lua', '--log-level', 'off', '--', 'nodes', '4').bytes)
      local url = start(BENCH .. 'known.lua', '--listen', 'tcp://127.0.0.1:0', '--', 'offer')
      local f = fields(BENCH .. 'known.lua', '--peer', url, '--log-level', 'off', '--', 'actions', '100')
      assert.is_number(f.bytes)
    end)
  end)
end)
