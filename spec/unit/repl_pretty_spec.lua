local on_loop = require 'spec.support.on_loop'

--- What the REPL shows of the values of some expressions.
local function shown(code)
  return on_loop.run([[
    local pretty, list = require 'perilune.repl.pretty', {}
    local values = table.pack(]] .. code .. [[)
    for i = 1, values.n do list[i] = pretty.value(values[i]) end
    return table.concat(list, '\n')
  ]])
end

describe('a value for people', function()
  it('is written as Lua would', function()
    assert.equal('nil\ntrue\n1\n-5\n1.0\n0.1\n1e+300\n9007199254740993\n3.1415926535897931',
      (shown 'nil, true, 1, -5, 1.0, 0.1, 1e300, 9007199254740993, math.pi'))
    assert.equal('inf\n-inf\nnan', (shown '1/0, -1/0, (0/0 ~= 0/0) and 0/0'))
    assert.equal('"a"\n"\\"\\\\\\n\\t"\nnull', (shown [['a', '"\\\n\t', require('perilune.core.value').null]]))
  end)

  it('is a table on one line where there is room', function()
    assert.equal('{}\n{ 1, 2, 3 }\n{ a = 1, ["b c"] = 2, ["end"] = 3 }\n{ 1, [3] = 3, [true] = 1 }',
      (shown "{}, {1, 2, 3}, {a = 1, ['b c'] = 2, ['end'] = 3}, {1, [3] = 3, [true] = 1}"))
    assert.equal('{\n  "' .. ('a'):rep(50) .. '",\n  { b = "' .. ('c'):rep(50) .. '" },\n}',
      (shown "{('a'):rep(50), {b = ('c'):rep(50)}}"))
  end)

  it('ends where it comes back to itself, and where it is deep', function()
    assert.equal('{ 1, self = <cycle> }', (shown '(function() local t = {1} t.self = t return t end)()'))
    assert.equal('{ {}, {} }', (shown '(function() local t = {} return {t, t} end)()'))
    assert.equal('{ { { { { { { … } } } } } } }', (shown '{{{{{{{{}}}}}}}}'))
  end)

  it('is never more than can be read', function()
    local text = shown '(function() local t = {} for i = 1, 1e5 do t[i] = i end return t end)()'
    assert.matches('^{\n  1,\n.*\n  100,\n  … %(100000 items%),\n}$', text)
    text = shown '(function() local t = {} for i = 1, 1e4 do t["k" .. i] = {{{i}}} end return t end)()'
    assert.is_true(#text < 30000 and text:find '…' ~= nil)
    assert.equal('"' .. ('x'):rep(2000) .. '"… (1000000 bytes)', (shown "('x'):rep(1e6)"))
    assert.equal('"' .. ('\u{e9}'):rep(999) .. '\u{e9}"… (6000 bytes)', (shown "('\u{e9}'):rep(3000)"))
  end)

  it('steers no terminal', function()
    assert.equal([["\x1b[2J\x00\x7f\u{9b}é"]], (shown [['\27[2J\0\127\u{9b}é']]))
    assert.equal([["\xff\xfea"]], (shown [['\255\254a']]))
    assert.equal([[<\x1b[2J>]], (shown [[setmetatable({}, {__tostring = function() return '\27[2J' end})]]))
  end)

  it('says of itself what it can', function()
    assert.equal('<I am>', (shown "setmetatable({}, {__tostring = function() return 'I am' end})"))
    assert.equal('<table>', (shown "setmetatable({}, {__tostring = function() error 'no' end})"))
    assert.equal('{ 1 }', (shown "setmetatable({1}, {__len = function() error 'no' end})"):gsub('%[1%] = ', ''))
    assert.equal('{ a = 1 }', (shown [[setmetatable({}, {__pairs = function() return next, {a = 1} end,
      __index = {a = 1}})]]))
    assert.matches('^<function>\n<function .+:%d+>\n<thread: .*>$',
      (shown 'print, function() end, coroutine.create(print)'))
  end)
end)
