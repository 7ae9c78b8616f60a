--- The newest lines of a log, which it keeps for who asks later.

local logs = require('perilune.testing').base.log

local LINES, BYTES = 1000, 256 * 1024

--- The messages of lines.
local function messages(text)
  local list = {}
  for line in text:gmatch '[^\n]+' do list[#list + 1] = line:match '^%S+ %l+ +(.*)$' end
  return list
end

local function write(log, from, to, level)
  for i = from, to do log:write(level or 'info', 'line ' .. i) end
end

describe('a log', function()
  it('keeps its lines, whatever becomes of its sink', function()
    local log = logs.new()
    assert.same({ '', 1, 0 }, { log:read(1, 'debug', 100) })
    log:refuse(true)
    write(log, 1, 3)
    local text, next, lost = log:read(1, 'debug', 1000)
    assert.same({ 'line 1', 'line 2', 'line 3' }, messages(text))
    assert.same({ 4, 0 }, { next, lost })
    assert.same({ '', 4, 0 }, { log:read(4, 'debug', 1000) })
  end)

  it('gives as many as fit, but one at least, and passes over those of a lower level', function()
    local log = logs.new()
    log:level 'debug'
    write(log, 1, 1, 'warn')
    write(log, 2, 3, 'debug')
    write(log, 4, 5, 'error')
    local text, next = log:read(1, 'warn', 1)
    assert.same({ 'line 1' }, messages(text))
    text, next = log:read(next, 'warn', 1)
    assert.same({ 'line 4' }, messages(text))
    text, next = log:read(next, 'warn', 1)
    assert.same({ 'line 5' }, messages(text))
    assert.same({ '', 6, 0 }, { log:read(next, 'warn', 1) })
  end)

  it('knows where its last lines of a level begin', function()
    local log = logs.new()
    assert.equal(1, log:tail('debug', 10))
    write(log, 1, 5)
    write(log, 6, 7, 'warn')
    write(log, 8, 9)
    assert.same({ 8, 6, 1, 1, 10 }, { log:tail('debug', 2), log:tail('debug', 4), log:tail('debug', 9),
      log:tail('debug', 100), log:tail('debug', 0) })
    assert.same({ 7, 10 }, { log:tail('warn', 1), log:tail('error', 0) })
    assert.same({ 'line 7' }, messages((log:read(log:tail('warn', 1), 'warn', 1000))))
  end)

  it('forgets the oldest beyond so many lines, and says how many are gone', function()
    local log = logs.new()
    write(log, 1, LINES + 50)
    local text, next, lost = log:read(1, 'debug', 1)
    assert.same({ 'line 51' }, messages(text))
    assert.same({ 52, 50 }, { next, lost })
    text, next, lost = log:read(1, 'debug', BYTES)
    assert.same({ LINES, 'line ' .. LINES + 50 }, { #messages(text), messages(text)[LINES] })
    assert.same({ LINES + 51, 50 }, { next, lost })
  end)

  it('forgets the oldest beyond so many bytes', function()
    local log = logs.new()
    for i = 1, 100 do log:write('info', ('%03d '):format(i) .. ('x'):rep(7000)) end
    local text, next, lost = log:read(1, 'debug', 2 * BYTES)
    assert.is_true(#text <= BYTES and #text > BYTES - 8000)
    assert.equal(101, next)
    assert.equal(100 - #messages(text), lost)
  end)
end)
