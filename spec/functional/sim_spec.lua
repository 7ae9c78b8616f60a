--- `perilune sim`: a mesh under disasters, and the checks that follow. What it finds here is a fault of the
--- nodes; the last line of its output is the command that replays it.

local json = require 'dkjson'
local process = require 'spec.support.process'

--- Runs in each of the two ranges below; sanitizers make them several times slower.
local RUNS = math.max(4, 24 // process.patience)

local function sim(...)
  local arguments = { 'sim', ... }
  arguments[#arguments + 1] = { timeout = 60 }
  return process.perilune_run(table.unpack(arguments))
end

local function assert_clean(run)
  assert(run.code == 0, run.stdout .. run.stderr)
end

describe('a simulated mesh', function()
  it('survives disasters of known seeds', function()
    assert_clean(sim('--seeds', '1..' .. RUNS, '--minutes', '0.2'))
  end)

  it('survives disasters of seeds that nobody has seen', function()
    local first = math.random(1, 1 << 40)
    assert_clean(sim('--seeds', ('%d..%d'):format(first, first + RUNS // 2), '--minutes', '0.2'))
  end)

  it('sets right what members say of each other', function()
    assert_clean(sim('--seeds', '1..' .. RUNS // 2, '--minutes', '0.3', '--slander'))
  end)

  for _, topology in ipairs { 'line', 'ring', 'star', 'tree', 'full', 'random' } do
    it('has nodes linked as a ' .. topology, function()
      assert_clean(sim('--nodes', '9', '--minutes', '0.1', '--seed', '4', '--topology', topology))
    end)
  end

  it('goes by dear links where the cheap way is too long', function()
    local function ring(nodes, seeds)
      assert_clean(sim('--nodes', nodes, '--seeds', seeds, '--minutes', '0.2', '--topology', 'ring'))
    end
    ring('20', '26..29')
    ring('26', '39..39') -- to leaves and from them, too
  end)

  it('replays to the byte from its seed', function()
    local arguments = { '--seed', '97', '--nodes', '6', '--minutes', '0.3', '--topology', 'full', '--trace' }
    local first, second = sim(table.unpack(arguments)), sim(table.unpack(arguments))
    assert.is_true(#first.stdout > 10000)
    assert.equal(first.stdout, second.stdout)
    assert.matches('runs/s', first.stderr)
  end)

  it('says what happened', function()
    local run = sim('--seed', '3', '--nodes', '4', '--minutes', '0.2', '--topology', 'ring')
    assert_clean(run)
    assert.matches('^perilune sim %-%-seed 3 %-%-nodes 4 %-%-minutes 0.2 %-%-topology ring\n', run.stdout)
    for _, word in ipairs { 'disasters', 'links', 'calls', 'failed', 'handlers', 'converged', 'digest' } do
      assert.matches('\n' .. word .. ' ', run.stdout)
    end
    assert.matches('\nno violation\n$', run.stdout)
  end)

  it('says it as JSON', function()
    local run = sim('--seeds', '3..4', '--minutes', '0.1', '--json')
    local lines = {}
    for line in run.stdout:gmatch '[^\n]+' do lines[#lines + 1] = assert(json.decode(line)) end
    assert.equal(2, #lines)
    assert.equal(4, lines[2].seed)
    assert.is_true(lines[1].ok > 0)
    assert.is_true(lines[1].violation == nil or lines[1].violation == json.null)
  end)

  it('knows all of itself when all nodes have started', function()
    local run = sim('--seed', '1', '--nodes', '60', '--minutes', '0.05', '--topology', 'random', '--calm', '--json')
    run = json.decode(run.stdout)
    assert.is_true(run.violation == nil or run.violation == json.null)
    assert.is_true(run.converged_us < 1000000, run.converged_us .. ' us')
  end)

  it('tells how long it takes until all know that a link is lost', function()
    local run = sim('--seed', '2', '--nodes', '20', '--topology', 'random', '--flaps', '3')
    assert_clean(run)
    local lost, back = run.stdout:match 'lost +every table is right after ([%d.]+) s\nback +[%l ]+ ([%d.]+) s'
    assert.is_true(tonumber(lost) > 0 and tonumber(lost) < 5, run.stdout)
    assert.is_true(tonumber(back) > 0 and tonumber(back) < 5, run.stdout)
  end)

  it('has hundreds of nodes', function()
    local run = sim('--seed', '5', '--nodes', '200', '--topology', 'ring', '--minutes', '0.05')
    assert_clean(run)
    local cuts, partitions, deaths = run.stdout:match 'disasters +(%d+) cuts, (%d+) partitions, (%d+) deaths'
    assert.is_true(cuts + 0 > 0 and partitions + 0 > 0 and deaths + 0 > 0, run.stdout)
    assert.is_true(tonumber(run.stdout:match ' streams: (%d+) ok') > 300, run.stdout)
  end)

  it('knows every kind of disaster', function()
    local seen = {}
    for _, seed in ipairs { '3', '5', '8' } do
      local run = sim('--seed', seed, '--nodes', '5', '--minutes', '0.3')
      assert_clean(run)
      for count, kind in run.stdout:match('disasters +([^\n]+)'):gmatch '(%d+) (%a+)' do
        seen[kind] = (seen[kind] or 0) + count
      end
    end
    for _, kind in ipairs { 'cuts', 'partitions', 'deaths', 'stops', 'slow', 'clocks', 'actions', 'keys', 'visits',
      'copies' } do
      assert.is_true((seen[kind] or 0) > 0, kind)
    end
  end)

  it('has leaves, which only call, handlers that fail after their chunks, and keys that are changed', function()
    local executed, leaves, rotations = 0, 0, 0
    for line in sim('--seeds', '7..16', '--minutes', '0.1', '--json').stdout:gmatch '[^\n]+' do
      local run = json.decode(line)
      assert.is_true(run.violation == nil or run.violation == json.null, line)
      executed, leaves = executed + run.executed, leaves + run.leaves
      rotations = rotations + run.rotations
    end
    assert.is_true(executed > 10, executed)
    assert.is_true(leaves > 1, leaves)
    assert.is_true(rotations > 4, rotations)
  end)

  it('is visited by intruders, of whom those without its key have nothing run', function()
    local visits, foreign, spared = 0, 0, 0
    for line in sim('--seeds', '1..12', '--minutes', '0.1', '--json').stdout:gmatch '[^\n]+' do
      local run = json.decode(line)
      assert.is_true(run.violation == nil or run.violation == json.null, line)
      visits, foreign = visits + run.visits, foreign + run.foreign
      if run.foreign == 0 then spared = spared + 1 end
    end
    assert.is_true(visits > 100, visits)
    assert.is_true(foreign > 10, foreign)
    assert.is_true(spared > 1 and spared < 12, spared)
  end)

  it('loses nothing when there are no disasters', function()
    local run = json.decode(sim('--seed', '5', '--nodes', '5', '--minutes', '0.2', '--calm', '--json').stdout)
    assert.equal(0, run.links_lost)
    assert.equal(0, run.orphaned)
  end)
end)

describe('the checks of a simulated mesh', function()
  for _, harm in ipairs { 'drop', 'duplicate' } do
    it('notice a network that may ' .. harm .. ' a frame, and tell how to see it again', function()
      local run = sim('--seed', '8', '--sabotage', harm)
      assert.equal(1, run.code)
      assert.matches('the last events:\n +%d+%.%d+ ', run.stdout)
      local violation, command = run.stdout:match 'VIOLATION: ([^\n]+)\nreplay with: perilune (sim [^\n]+)'
      assert.is_truthy(violation, run.stdout)
      local words = {}
      for word in command:gmatch '%S+' do words[#words + 1] = word end
      local again = process.perilune_run(table.unpack(words))
      assert.equal(1, again.code)
      assert.equal(run.stdout, again.stdout)
    end)
  end
end)

describe('perilune sim', function()
  for _, case in ipairs {
    { { '--nodes', '1' }, '%-%-nodes is a number from 2 to 2000' },
    { { '--nodes', '3000' }, '%-%-nodes is a number from 2 to 2000' },
    { { '--topology', 'cube' }, '%-%-topology is line, ring' },
    { { '--seeds', '5..1' }, '%-%-seed is a number, %-%-seeds a range' },
    { { '--seed', 'x' }, "'x' is not a number" },
    { { '--sabotage', 'all' }, '%-%-sabotage is drop or duplicate' },
    { { '--sede', '1' }, "did you mean '%-%-seed'" },
  } do
    it('refuses ' .. table.concat(case[1], ' '), function()
      local run = sim(table.unpack(case[1]))
      assert.equal(2, run.code)
      assert.matches(case[2], run.stderr)
    end)
  end

  it('has its help', function()
    assert.matches('%-%-topology WORD', process.perilune_run('help', 'sim').stdout)
  end)
end)
