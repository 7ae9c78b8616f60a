--- Types as LuaCATS writes them.

local types = require 'perilune.api.types'

describe('types', function()
  it('are read to their end, or not at all', function()
    local whole = "fun(a: string?, ...: any): (integer|nil)[], { b: 'x'|table<string, perilune.Task> }"
    local one, after = types.parse(whole)
    assert.equal('function', one.kind)
    assert.equal(#whole + 1, after)
    for i = 1, #whole do types.parse(whole:sub(1, i)) end
    for _, bad in ipairs { '', '|', "'x", '{ a: ', 'fun(', 'fun(a: ', 'table<', '(', '[]', '{ a b }', 'a|' } do
      assert.is_nil((types.parse(bad)), bad)
    end
  end)
end)
