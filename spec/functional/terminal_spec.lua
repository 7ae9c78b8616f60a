local screens = require 'spec.support.screen'
local terminal = require 'spec.support.terminal'

describe('a terminal of the specs', function()
  local function sh(script, options) return terminal.start({ 'sh', '-c', script }, options) end

  it('shows what a program writes, and hands it what is typed', function()
    local t = sh 'printf "name? "; read name; echo "hello $name"; tty -s && echo at a terminal'
    t:wait_for '^name%?$'
    t:type 'moon'
    t:press 'enter'
    assert.equal('moon', t:wait_for '^hello (.*)$')
    t:wait_for '^at a terminal$'
    assert.equal(0, t:wait())
    assert.equal('name? moon\nhello moon\nat a terminal', t:text())
  end)

  it('has a size, and tells when it is another one', function()
    local t = sh([[trap 'stty size; exit' WINCH; stty size; while :; do sleep 0.02; done]], { columns = 50, rows = 11 })
    t:wait_for '^11 50$'
    t:resize(61, 13)
    t:wait_for '^13 61$'
    assert.equal(0, t:wait())
  end)

  it('interrupts the program as a terminal does', function()
    local t = sh [[trap 'echo interrupted; exit 7' INT; echo ready; while :; do sleep 0.02; done]]
    t:wait_for '^ready$'
    t:press 'ctrl-c'
    t:wait_for 'interrupted$'
    assert.equal(7, t:wait())
  end)

  it('knows whether a program has restored it', function()
    local t = sh [[saved=$(stty -g); stty raw -echo; echo raw; read x; stty "$saved"; echo cooked]]
    t:wait_for 'raw$'
    assert.is_false(t:modes().canonical)
    assert.has_error(function() t:assert_restored() end)
    t:type '\n'
    assert.equal(0, t:wait())
    t:assert_restored()

    t = sh [[printf '\033[?25l\033[?2004h']]
    assert.equal(0, t:wait())
    assert.error_matches(function() t:assert_restored() end, 'mode 2004 is on, the cursor is hidden')
  end)

  it('hangs up', function()
    local t = sh 'echo ready; sleep 60'
    t:wait_for '^ready$'
    t:hang_up()
    local _, signal = t:wait()
    assert.equal('HUP', signal)
  end)

  it('fails with what is on the screen', function()
    local t = sh 'echo something; sleep 60'
    t:wait_for '^something$'
    local function wait() t:wait_for('^nothing$', 0.01) end
    assert.error_matches(wait, "no '%^nothing%$'.*%-%- screen %-%-\nsomething\n")
  end)
end)

describe('a screen', function()
  local function shown(bytes, columns, rows)
    local screen = screens.new(columns or 10, rows or 3)
    screen:write(bytes)
    return screen:text(), screen
  end

  it('moves the cursor and erases', function()
    assert.equal('abXd', (shown 'abcd\27[2DX'))
    assert.equal('ab', (shown 'abcd\27[2D\27[K'))
    assert.equal('  c', (shown 'abc\r\27[C\27[1K'))
    assert.equal('a\n\n  b', (shown 'a\27[3;3Hb'))
    assert.equal('x', (shown 'abc\r\ndef\27[1;1Hx\27[J'))
    assert.equal('', (shown 'abc\r\ndef\27[2J'))
  end)

  it('goes on in the next line only with the next character, and scrolls', function()
    local _, screen = shown('0123456789')
    assert.same({ 1, 11 }, { screen.row, screen.column })
    assert.equal('0123456789\na', (shown '0123456789a'))
    assert.equal('b\nc\nd', (shown 'a\r\nb\r\nc\r\nd'))
  end)

  it('knows how wide characters are', function()
    local text, screen = shown('a\u{4e2d}e\u{301}')
    assert.equal('a\u{4e2d}e\u{301}', text)
    assert.equal(5, screen.column)
    assert.equal('012345678\n\u{4e2d}', (shown '012345678\u{4e2d}'))
  end)

  it('takes bytes in pieces of any size', function()
    local bytes = 'a\27[?25l\u{4e2d}\27[31;1mred\27[0m\r\n\27[?1049hother\27[?1049l!'
    local whole, a = shown(bytes, 20)
    local b = screens.new(20, 3)
    for byte in bytes:gmatch '.' do b:write(byte) end
    assert.equal('a\u{4e2d}red\n!', whole)
    assert.equal(whole, b:text())
    assert.is_false(a.cursor)
    assert.is_false(b.cursor)
    assert.is_false(b.alternate)
  end)

  it('shows what it does not know', function()
    assert.equal('<CSI 5q>', (shown '\27[5q'))
    assert.equal('a?b', (shown 'a\255bxx\r\27[3C\27[K'))
  end)
end)
