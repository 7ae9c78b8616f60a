--- Annotations of actions, of what anybody may say of them.

local overloads = require 'perilune.api.overloads'
local types = require 'perilune.api.types'

local random = math.random

local WORDS = { 'int', 'string', 'any', 'x y', "it's", '\n---@meta', '', 'end', '...', '\27[2J', '\xff', 'fields',
  'list', 'a.b', 'a.b.c', 'a.end', 'a\n.b', '.a', 'a..b' }

--- Any value that a node could send.
local function any(depth)
  local kind = random(depth > 5 and 4 or 7)
  if kind == 1 then return WORDS[random(#WORDS)] end
  if kind == 2 then return random(100) end
  if kind == 3 then return random() < 0.5 end
  if kind == 4 then return 0.5 end
  local t = {}
  for i = 1, random(0, 3) do t[i] = any(depth + 1) end
  for _, key in ipairs { 'type', 'list', 'enum', 'fields', 'extra', 'optional', 'rest', 'name' } do
    if random(3) == 1 then t[key] = any(depth + 1) end
  end
  return t
end

--- A type and nothing else, on one line.
local function assert_type(text)
  assert.is_nil(text:find '[%c]', text)
  local one, after = types.parse(text)
  assert(one and after == #text + 1, text)
end

describe('overloads of actions', function()
  it('are types on one line, whatever is said of the actions', function()
    math.randomseed(6)
    for _ = 1, 100 do
      local described = {}
      for _, name in ipairs(WORDS) do
        described[name] = { description = any(9), names = any(4), params = any(2), returns = any(2) }
      end
      local all = overloads.of(described)
      for _, list in ipairs { all.call, all.stream, all.proxy } do
        for _, text in ipairs(list) do assert_type(text) end
      end
      for _, class in ipairs(all.proxies) do
        assert.matches('^[%w_.]*[%w_]$', class.name)
        for _, field in ipairs(class.fields) do assert_type(field[2]) end
      end
      for _, action in ipairs(all.names) do
        assert.matches("^'[^%c']*'$", action[1])
        assert.is_nil((action[2] or ''):find '%c')
      end
    end
  end)

  it('are bounded in depth and length', function()
    local deep, fields = { type = 'int' }, {}
    for _ = 1, 60 do deep = { list = deep } end
    for i = 1, 1000 do fields['field' .. i] = { type = 'string' } end
    local all = overloads.of {
      deep = { params = { deep } },
      wide = { params = { { fields = fields } } },
      text = { description = ('é'):rep(500) },
    }
    for _, text in ipairs(all.call) do assert_type(text) end
    assert.is_true(#table.concat(all.call) < 500)
    assert.is_true(#all.names[2][2] < 250 and utf8.len(all.names[2][2]) ~= nil)
  end)
end)
