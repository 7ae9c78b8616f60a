--- The parts of the line editor that need no terminal.

local native = require('perilune.testing').terminal
local on_loop = require 'spec.support.on_loop'

local run = on_loop.run

describe('keys', function()
  --- The events of bytes that come in pieces of `size`, each as a word.
  local function events(bytes, size)
    return run([[
      local bytes, size = ...
      local keys, list = require('perilune.repl.keys').new(), {}
      for at = 1, #bytes, size do
        for _, e in ipairs(keys:feed(bytes:sub(at, at + size - 1))) do
          list[#list + 1] = e.key or e.text and 'text ' .. e.text or 'paste ' .. e.paste
        end
      end
      if keys:is_waiting() then list[#list + 1] = 'waits' end
      return list
    ]], bytes, size or #bytes)
  end

  local function same_in_pieces(expected, bytes)
    assert.same(expected, events(bytes))
    local whole = table.concat(expected, '\n'):gsub('text ', '')
    for size = 1, 4 do
      local got = table.concat(events(bytes, size), '\n')
      assert.equal((whole:gsub('\n', '')), (got:gsub('text ', ''):gsub('\n', '')))
    end
  end

  it('are known by name', function()
    same_in_pieces({ 'left', 'right', 'up', 'down', 'home', 'end', 'home', 'end', 'delete' },
      '\27[D\27[C\27[A\27[B\27[H\27[F\27OH\27[4~\27[3~')
    same_in_pieces({ 'ctrl-left', 'ctrl-right', 'alt-b', 'alt-left', 'alt-backspace', 'alt-enter', 'shift-tab' },
      '\27[1;5D\27[1;5C\27b\27[1;3D\27\127\27\r\27[Z')
    same_in_pieces({ 'ctrl-a', 'ctrl-e', 'ctrl-r', 'ctrl-c', 'enter', 'enter', 'tab', 'backspace', 'backspace' },
      '\1\5\18\3\r\n\t\127\8')
  end)

  it('are text as soon as a character is whole', function()
    same_in_pieces({ 'text ab', 'text \u{e9}', 'text \u{4e2d}', 'text \u{1f600}', 'text c' },
      'ab\u{e9}\u{4e2d}\u{1f600}c')
  end)

  it('are nothing where they mean nothing', function()
    assert.same({ 'text a', 'text b' }, events 'a\27[99;99xb')
    assert.same({ 'text a', 'text b' }, events 'a\255\254\237\160\128\194\155b')
    assert.same({ 'waits' }, events '\27')
    assert.same({ 'waits' }, events '\27[1;')
  end)

  it('are one paste between its marks', function()
    same_in_pieces({ 'paste a\nb\nc\td', 'text e' }, '\27[200~a\r\nb\rc\td\27[201~e')
    same_in_pieces({ 'paste a[2Jb', 'left' }, '\27[200~a\27[2J\0b\27[201~\27[D')
    assert.same({ 'paste a??b' }, events '\27[200~a\255\254b\27[201~')
    local long = events('\27[200~' .. ('x'):rep(1 << 20) .. '\27[201~', 4096)
    assert.equal(#'paste ' + 256 * 1024, #long[1])
  end)

  it('survive any bytes', function()
    math.randomseed(7)
    local pieces = { '\27', '[', '200~', '201~', '1;5', 'D', '\255', '\u{4e2d}', 'a', '\r', 'O', '\127', '~', '\0' }
    for _ = 1, 30 do
      local bytes = {}
      for i = 1, 200 do bytes[i] = pieces[math.random(#pieces)] end
      events(table.concat(bytes), math.random(1, 9))
    end
  end)
end)

describe('a line that is edited', function()
  --- The line after some moves and inserts, with `|` where the cursor is. What begins with `+` is inserted.
  local function edited(text, ...)
    return run([[
      local line = require('perilune.repl.line').new()
      local text, moves = ...
      line:set(text)
      for _, move in ipairs(moves) do
        if move:sub(1, 1) == '+' then
          line:insert(move:sub(2))
        elseif move == 'above' or move == 'below' then
          line:move_line(move == 'above' and -1 or 1)
        else
          line:move(move)
        end
      end
      return line.text:sub(1, line.at - 1) .. '|' .. line.text:sub(line.at)
    ]], text, { ... })
  end

  it('moves by characters, with what combines with them', function()
    assert.equal('a\u{e9}|\u{4e2d}', edited('a\u{e9}\u{4e2d}', 'left'))
    assert.equal('a|e\u{301}b', edited('ae\u{301}b', 'left', 'left'))
    assert.equal('ae\u{301}|b', edited('ae\u{301}b', 'home', 'right', 'right'))
    assert.equal('|a', edited('a', 'left', 'left', 'left'))
    assert.equal('a|', edited('a', 'right'))
  end)

  it('moves by words, lines and to the ends', function()
    assert.equal('local foo|_bar = 1', edited('local foo_bar = 1', 'home', 'word_right', 'right', 'right', 'right',
      'right'))
    assert.equal('local |foo = 1', edited('local foo = 1', 'word_left', 'word_left'))
    assert.equal('ab\n|cd', edited('ab\ncd', 'home'))
    assert.equal('ab|\ncd', edited('ab\ncd', 'above'))
    assert.equal('ab|\ncdef', edited('ab\ncdef', 'above'))
    assert.equal('abcd\nef|\ngh', edited('abcd\nef\ngh', 'above', 'above', 'last', 'below'))
  end)

  it('cuts and puts back', function()
    assert.equal('ab|', edited('abcd', 'left', 'left', 'cut_to_end'))
    assert.equal('|cd', edited('abcd', 'left', 'left', 'cut_to_home'))
    assert.equal('one two two|', edited('one two', 'cut_word', 'put_back', '+ ', 'put_back'))
    assert.equal('one |', edited('one two-three', 'cut_word'))
    assert.equal('| two', edited('one two', 'home', 'cut_word_after'))
    assert.equal('ab|cd', edited('ab\ncd', 'above', 'cut_to_end'))
    assert.equal('a|c', edited('abc', 'left', 'backspace'))
    assert.equal('a|c', edited('abc', 'left', 'left', 'delete'))
    assert.equal('|', edited('', 'backspace', 'delete', 'cut_word', 'cut_to_end', 'cut_to_home', 'put_back'))
  end)

  it('has a bound', function()
    assert.is_true(run [[
      local line = require('perilune.repl.line').new()
      return line:insert(('x'):rep(256 * 1024)) and not line:insert 'y' and #line.text == 256 * 1024
    ]])
  end)
end)

describe('the rows of a line', function()
  local function layout(text, cursor, columns)
    return table.unpack((run([[
      local text, cursor, columns = ...
      local rows, row, column = require('perilune.repl.screen').layout(text, cursor, { '> ', '. ' }, columns)
      return { rows, row, column }
    ]], text, cursor, columns)))
  end

  local function check(expected, row, column, ...)
    local rows, r, c = layout(...)
    assert.same(expected, rows)
    assert.same({ row, column }, { r, c })
  end

  it('wrap where the terminal ends', function()
    check({ '> ' }, 0, 2, '', 1, 10)
    check({ '> abc' }, 0, 3, 'abc', 2, 10)
    check({ '> abcdefgh', 'ij' }, 1, 2, 'abcdefghij', 11, 10)
    check({ '> abcdefgh', '' }, 1, 0, 'abcdefgh', 9, 10)
    check({ '> abcdefgh' }, 0, 9, 'abcdefgh', 8, 10)
  end)

  it('have a prompt for each line', function()
    check({ '> ab', '. cd' }, 1, 2, 'ab\ncd', 4, 10)
    check({ '> ab', '. ' }, 1, 2, 'ab\n', 4, 10)
  end)

  it('know wide characters and tabs', function()
    check({ '> abcdefg', '\u{4e2d}' }, 1, 2, 'abcdefg\u{4e2d}', 11, 10)
    check({ '> e\u{301}x' }, 0, 4, 'e\u{301}x', 5, 10)
    check({ '>     x' }, 0, 7, '\tx', 3, 10)
  end)

  it('fit terminals that are too small', function()
    for columns = 1, 4 do
      local rows, row, column = layout('abc\u{4e2d}\n\td', 4, columns)
      assert.is_true(#rows >= 2 and row < #rows and column < columns)
    end
  end)
end)

describe('widths', function()
  it('are those that the system knows, of what is written in practice', function()
    local width = run [[
      local width, list = require 'perilune.repl.width', {}
      for _, range in ipairs { { 0x20, 0x7e }, { 0xa1, 0x482 }, { 0x4e00, 0x9fff }, { 0xac00, 0xd7a3 },
        { 0x3041, 0x30ff }, { 0x1f600, 0x1f64f }, { 0xff01, 0xff60 }, { 0x2500, 0x257f }, { 0x20a0, 0x20bf } } do
        for code = range[1], range[2] do list[#list + 1] = { code, width.of_code(code) } end
      end
      return list
    ]]
    local wrong = {}
    for _, pair in ipairs(width) do
      local known = native.width(pair[1])
      if known >= 0 and known ~= pair[2] and pair[1] ~= 0xad then wrong[#wrong + 1] = ('%x'):format(pair[1]) end
    end
    assert.same({}, wrong)
  end)
end)
