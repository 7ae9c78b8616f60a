--- perilune repl at a terminal, as who sits there sees it.

local process = require 'spec.support.process'
local terminal = require 'spec.support.terminal'

local WORKER = [[
  local mesh = require 'perilune'
  mesh.action('files.get', function() return 'got' end)
  mesh.action('files.put', function() return 'put' end)
  mesh.action('sum', function(numbers)
    local total = 0
    for _, n in ipairs(numbers) do total = total + n end
    return total
  end)
  mesh.action('slow', function()
    local stopped <close> = setmetatable({}, { __close = function() print 'slow stopped' end })
    print 'slow began'
    mesh.sleep(60)
  end)
]]

describe('perilune repl at a terminal', function()
  local dir, worker

  before_each(function()
    dir = process.temp_dir { ['worker.lua'] = WORKER }
    worker = process.start({ process.perilune, 'run', 'worker.lua' }, { cwd = dir })
    worker:wait_line '^ready '
  end)

  local function start(options)
    options = options or {}
    options.cwd, options.env = dir, { XDG_STATE_HOME = dir .. '/state' }
    local t = terminal.start({ process.perilune, 'repl', table.unpack(options) }, options)
    t:wait_for '^>$'
    return t
  end

  --- Until it reads keys: what is typed before is that of the line that runs.
  local function wait_until_it_reads(t)
    t:wait_until(function() return not t:modes().echo end)
  end

  --- Types a line and waits for what it shows.
  local function enter(t, line, expected)
    wait_until_it_reads(t)
    t:type(line)
    t:press 'enter'
    if expected then return t:wait_for(expected) end
  end

  local function leave(t)
    wait_until_it_reads(t)
    t:press 'ctrl-d'
    assert.equal(0, t:wait())
    t:assert_restored()
  end

  it('shows values, and leaves the terminal as it was', function()
    local t = start()
    assert.is_false(t:modes().echo)
    enter(t, 'mesh.call("sum", {1, 2})', '^3$')
    enter(t, '_ * 2', '^6$')
    enter(t, 'x = "h\u{e9}"', '^>$')
    enter(t, 'x', '^"h\u{e9}"$')
    t:wait_until(function(screen) return screen:line(screen.row) == '>' and screen.modes['2004'] end)
    leave(t)
  end)

  it('edits the line in place', function()
    local t = start()
    t:type 'rinted'
    t:press('ctrl-a', 'p', 'ctrl-e', 'backspace', 'backspace')
    t:type '("ac")'
    t:press('left', 'left', 'left', 'b')
    t:wait_for '^> print%("abc"%)$'
    t:press('delete', 'ctrl-k')
    t:type 'd")'
    t:press 'enter'
    t:wait_for '^abd$'
    wait_until_it_reads(t)
    t:type 'one two'
    t:press('ctrl-w', 'ctrl-u')
    t:type '"\u{4e2d}\u{e9}x"'
    t:press('left', 'left', 'left', 'backspace', 'enter')
    t:wait_for '^"\u{e9}x"$'
    leave(t)
  end)

  it('wraps long lines, and follows the size of the terminal', function()
    local t = start { columns = 20, rows = 8 }
    t:type '"abcdefghijklmnopqrstuvwxyz"'
    t:wait_for '^rstuvwxyz"$'
    t:press 'ctrl-a'
    t:wait_until(function(screen) return screen.row == 1 and screen.column == 3 end)
    t:resize(40, 8)
    t:wait_for '^> "abcdefghijklmnopqrstuvwxyz"$'
    t:resize(3, 2)
    t:press 'ctrl-e'
    t:wait_until(function(screen) return screen:text():find 'z"' end)
    t:resize(60, 10)
    t:wait_for '^> "abcdefghijklmnopqrstuvwxyz"$'
    t:press 'enter'
    t:wait_for '^"abcdefghijklmnopqrstuvwxyz"$'
    leave(t)
  end)

  it('goes on in the next line while it is not whole', function()
    local t = start()
    enter(t, 'for i = 1, 2 do', '^%.%.%. *$')
    enter(t, '  print("line " .. i)', '^%.%.%.$')
    enter(t, 'end', '^line 2$')
    t:press 'up'
    t:wait_for '^%.%.%. end$'
    t:press 'enter'
    t:wait_until(function(screen) return select(2, screen:text():gsub('\nline 2', '')) == 2 end)
    leave(t)
  end)

  it('takes what is pasted as one', function()
    local t = start()
    t:type '\27[200~function f()\r  return 41\rend\27[201~'
    t:wait_for '^%.%.%. end$'
    t:press 'enter'
    enter(t, 'f() + 1', '^42$')
    leave(t)
  end)

  it('keeps what was typed for the next time, for its owner alone', function()
    local t = start()
    enter(t, '"first"', '^"first"$')
    enter(t, 'do\n  x = 1\nend')
    enter(t, ' "secret"', '^"secret"$')
    enter(t, '"second"', '^"second"$')
    t:wait_until(function(screen) return screen:line(screen.row) == '>' end)
    leave(t)
    local stat <close> = io.popen("stat -c '%a' " .. dir .. '/state/perilune ' .. dir .. '/state/perilune/history')
    assert.equal('700\n600\n', stat:read 'a')
    local file <close> = io.open(dir .. '/state/perilune/history')
    assert.equal('"first"\ndo\\n  x = 1\\nend\n"second"\n', file:read 'a')

    t = start()
    t:press('up', 'up', 'up', 'up', 'up') -- three of them through the lines of one
    t:wait_for '^> "first"$'
    t:press('down', 'down', 'down')
    t:wait_until(function(screen) return screen:text() == '>' end)
    t:press 'ctrl-r'
    t:type 'fir'
    t:wait_for '^%(search%) fir: "first"$'
    t:press 'enter'
    t:wait_for '^"first"$'
    wait_until_it_reads(t)
    t:press 'ctrl-r'
    t:type 'nothing'
    t:wait_for '^%(not found%) nothing:'
    t:press 'ctrl-g'
    leave(t)
  end)

  it('completes names, fields and actions', function()
    local t = start()
    t:type 'mesh.cal'
    t:press 'tab'
    t:wait_for '^> mesh%.call$'
    t:type '("fi'
    t:press 'tab'
    t:wait_for '^> mesh%.call%("files%.$'
    t:press('tab', 'tab')
    t:wait_for '^files%.get +files%.put$'
    t:type 'g'
    t:press 'tab'
    t:type '")'
    t:press 'enter'
    t:wait_for '^"got"$'
    enter(t, 'thing = {alpha = {beta = 7}} print "made"', '^made$')
    wait_until_it_reads(t)
    t:type 'thi'
    t:press 'tab'
    t:type '.al'
    t:press 'tab'
    t:type '.b'
    t:press('tab', 'enter')
    t:wait_for '^7$'
    wait_until_it_reads(t)
    t:type ':he'
    t:press('tab', 'enter')
    t:wait_for ':quit'
    wait_until_it_reads(t)
    t:type 'nothing_like_this'
    t:press 'tab'
    t:wait_until(function(screen) return screen.bells >= 1 end)
    t:press 'ctrl-u'
    leave(t)
  end)

  it('ends the line that runs with Ctrl-C, and not itself', function()
    local t = start()
    enter(t, 'mesh.call("slow")')
    worker:wait_line '^slow began$'
    t:press 'ctrl-c'
    t:wait_for 'interrupted$'
    worker:wait_line '^slow stopped$'
    enter(t, 'print "spins" while true do end', '^spins$')
    t:press 'ctrl-c'
    t:wait_until(function(screen) return select(2, screen:text():gsub('interrupted', '')) == 2 end)
    enter(t, 'print "catches" while true do pcall(mesh.sleep, 60) end', '^catches$')
    t:press 'ctrl-c'
    t:wait_until(function(screen) return select(2, screen:text():gsub('interrupted', '')) == 3 end)
    wait_until_it_reads(t)
    t:type 'half a line'
    t:wait_for '^> half a line$'
    t:press 'ctrl-c'
    t:wait_for '^> half a line%^C$'
    wait_until_it_reads(t)
    enter(t, '6 * 7', '^42$')
    leave(t)
  end)

  it('tells of code that cannot be interrupted, which ends by itself', function()
    local t = start()
    enter(t, 'table.sort({1, 2, 3}, function() while true do end end)')
    t:wait_for('^MEMORY_LIMIT: not enough memory, or too long a time in code that cannot be')
    leave(t)
  end)

  it('is plain where the cursor cannot be moved', function()
    local t = terminal.start({ process.perilune, 'repl' }, { cwd = dir, env = { TERM = 'dumb' } })
    t:type '6 * 7\n'
    t:wait_for '^42$'
    t:press 'ctrl-d'
    assert.equal(0, t:wait())
    assert.is_nil(t:output():find('\27', 1, true))
    t:assert_restored()
  end)

  it('ends a background task that computes with Ctrl-C', function()
    local t = start { '--cpu-limit', '0' }
    enter(t, 'mesh.spawn(function() print "busy" while true do end end)')
    t:wait_for 'busy$'
    t:wait_until(function() -- it must have computed for a while
      t:press 'ctrl-c'
      process.sleep(0.05)
      return not t:modes().echo
    end)
    enter(t, '6 * 7', '^42$')
    leave(t)
  end)

  it('shows what others print above the line that is typed', function()
    local t = start()
    enter(t, 'mesh.spawn(function() mesh.sleep(0.05) print "from behind" io.write "half " ' ..
      'io.stderr:write "of it\\n" error "and failed" end) nil', 'unexpected')
    enter(t, 'do local t = mesh.spawn(function() while not go do mesh.sleep(0.01) end print "from behind" ' ..
      'io.write "half " io.stderr:write "of it\\n" error "and failed" end) end')
    enter(t, 'mesh.after(0.02, function() go = true end) and nil', '^nil$')
    t:type 'a line'
    t:wait_for 'and failed'
    t:wait_for '^from behind$'
    t:wait_for '^half of it$'
    t:wait_for '^> a line$'
    t:press 'ctrl-u'
    leave(t)
  end)

  it('lets a line read from the terminal', function()
    local t = start()
    enter(t, 'io.read()')
    t:wait_until(function() return t:modes().echo end)
    t:type 'typed'
    t:press 'enter'
    t:wait_for '^"typed"$'
    leave(t)
  end)

  it('restores the terminal however it ends', function()
    local t = start()
    enter(t, 'os.exit(3)')
    assert.equal(3, t:wait())
    t:assert_restored()

    t = start()
    t.process:kill 'TERM'
    assert.equal(143, t:wait())
    t:assert_restored()

    t = start()
    enter(t, ':quit')
    assert.equal(0, t:wait())
    t:assert_restored()
  end)

  it('ends with its terminal', function()
    local t = start()
    t:hang_up()
    local code, signal = t:wait()
    assert.is_true(signal == 'HUP' or code ~= nil)
  end)
end)
