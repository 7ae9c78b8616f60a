--- The man page, which is made of what `help` prints.

local process = require 'spec.support.process'

local MACROS = { TH = 1, SH = 1, SS = 1, PP = 0, TP = 0, RS = 1, RE = 0, EX = 0, EE = 0, B = 1, I = 1 }
local PAIRS = { RE = 'RS', EE = 'EX' }

local page = process.perilune_run('help', '--man').stdout

--- As roff shows it, roughly.
local function plain(text)
  return (text:gsub('\\f[BIR]', ''):gsub('\\%((%a%a)', { aq = "'", ha = '^', ti = '~', ga = '`' })
    :gsub('\\%-', '-'):gsub('\\&', ''):gsub('\\e', '\\'))
end

describe('the man page', function()
  it('has nothing but macros of man(7) and escapes that all roffs know', function()
    assert.matches('^%.TH PERILUNE 1 ', page)
    local open = {}
    for line in page:gmatch '([^\n]*)\n' do
      local macro, rest = line:match '^%.(%u+) ?(.*)'
      if macro then
        assert.is_truthy(MACROS[macro], line)
        assert.is_true((MACROS[macro] == 0) == (rest == ''), line)
        if macro == 'RS' or macro == 'EX' then open[#open + 1] = macro end
        if PAIRS[macro] then assert.equal(PAIRS[macro], table.remove(open), line) end
        if macro == 'SH' or macro == 'SS' then assert.same({}, open) end
      else
        assert.is_nil(line:find "^[.']", line)
      end
      assert.not_equal('', line)
      local left = line:gsub('\\f[BIR]', ''):gsub('\\%(%a%a', ''):gsub('\\[-&e]', '')
      assert.is_nil(left:find('\\', 1, true), line)
    end
    assert.same({}, open)
  end)

  it('is taken by the formatter, where there is one', function()
    if process.run({ 'sh', '-c', 'command -v groff' }).code ~= 0 then return end
    local dir = process.temp_dir { ['perilune.1'] = page }
    local result = process.run({ 'groff', '-man', '-ww', '-z', '-Tutf8', dir .. '/perilune.1' })
    assert.same({ code = 0, stdout = '', stderr = '' }, result)
  end)

  it('names every command with its usage, and every option', function()
    local text = plain(page)
    local commands = 0
    for name in process.perilune_run('help').stdout:gmatch '\n  (%l+) +%l' do
      commands = commands + 1
      local help = process.perilune_run('help', name).stdout
      local usage = help:match '^usage: ([^\n]+)\n'
      assert.truthy(text:find('.SS ' .. usage, 1, true), usage)
      for option in help:gmatch '\n  (%-%-[%l-]+)' do
        assert.truthy(text:find('\n' .. option:gsub('%-', '%%-') .. '[ \n]'), name .. ' ' .. option)
      end
      for example in help:gmatch('\n  (perilune ' .. name .. '[^\n]*)\n') do
        assert.truthy(text:find('\n' .. example .. '\n', 1, true), example)
      end
    end
    assert.is_true(commands >= 19)
  end)
end)
