--- The reader of scripts behind `perilune check`: it takes what Lua takes, and comes to an end with any text.

local lexer = require 'perilune.lint.lexer'
local parser = require 'perilune.lint.parser'

--- Every construct of the language.
local SAMPLE = [==[
#!/usr/bin/env perilune
local a <const>, b <close> = 0x1p4, nil -- a comment
--[[ a long
one ]] local function f(x, ...) return x, ..., select('#', ...) end
function a.b.c:d(e) self.x = e; goto done ::done:: end
for i = 1, 10, 2 do if i > 3 then break elseif not i then else i = i // 2 ~ 3 & 4 | 5 << 1 >> 2 end end
for k, v in pairs { 1, 2; x = 3, ['y'] = 4, [5] = f'6', f{7}, [[8
9]] } do print(k, v, #a, -b ^ 2, ~1, 'q\z
  \x41\u{48}\065\n' .. "r") end
while a <= b and a ~= 'x' or a == 1.5e-3 do repeat local z = a until z >= .5 end
do local t = (f(1)):g(2).h[3]'x'; t.u, t.v = 1, (2) end;
return f [=[ ]] ]=], { n = 3 % 2 }
]==]

--- Parses, and returns whether it is Lua; anything but a Problem is a fault.
local function parses(text)
  local ok, result = pcall(parser.parse, text)
  if ok then return true end
  assert(getmetatable(result) == lexer.Problem, result)
  assert(result.line >= 1 and result.column >= 1 and #result.text > 0)
  return false, result
end

local function is_lua(text)
  return load((text:gsub('^#[^\n]*', '', 1)), '=text', 't') ~= nil
end

describe('the reader of scripts', function()
  it('keeps calls, fields, variables and literals with their places', function()
    local program = parser.parse "local m = require 'perilune'\nm.call('sum', { n = -1, [2] = true }):x(...)\nm = nil"
    assert.same({ 'm' }, { program.bindings[1].name })
    assert.is_true(program.bindings[1].assigned)
    local call, method = program.calls[2], program.calls[3]
    assert.same({ 2, 3, 'call' }, { call.line, call.column, call.fn.key })
    assert.equal(program.bindings[1], call.fn.object.binding)
    local sum, options = table.unpack(call.arguments)
    assert.same({ 'string', 'sum', 2, 8 }, { sum.kind, sum.value, sum.line, sum.column })
    local item = options.items[1]
    assert.same({ 'n', 'number', -1 }, { item.name, item.value.kind, item.value.value })
    assert.same({ 'x', 'vararg', call }, { method.method, method.arguments[1].kind, method.fn })
  end)

  it('knows which variable a name is', function()
    local program = parser.parse [[
      local a a.x() do local a a.y() end function f(a) a.z() end b.w() repeat local b until b.v()
    ]]
    local owners = {}
    for i, call in ipairs(program.calls) do
      for k, binding in ipairs(program.bindings) do
        if binding == call.fn.object.binding then owners[i] = k end
      end
      owners[i] = owners[i] or 'global'
    end
    assert.same({ 1, 2, 3, 'global', 4 }, owners)
  end)

  it('takes strings and numbers for what Lua takes them for', function()
    local texts = {
      [['a\n\x41\065\u{20AC}\z   b\'']], '"\\\\"', '[==[\n]] ]=] ]==]', '0x.8p1', '3e-2', '0xA', '.5', '7', '1e10',
    }
    for _, text in ipairs(texts) do
      local program = parser.parse('f(' .. text .. ')')
      assert.equal(load('return ' .. text)(), program.calls[1].arguments[1].value, text)
    end
  end)

  it('takes all Lua of this project', function()
    local list <close> = assert(io.popen "find stdlib examples -name '*.lua'")
    local count = 0
    for path in list:lines() do
      local file <close> = assert(io.open(path, 'rb'))
      local ok, problem = parses(file:read 'a')
      assert(ok, problem and ('%s:%d:%d: %s'):format(path, problem.line, problem.column, problem.text))
      count = count + 1
    end
    assert.is_true(count > 80)
  end)

  it('comes to an end with every beginning of a program', function()
    assert.is_true(is_lua(SAMPLE) and parses(SAMPLE))
    for i = 0, #SAMPLE - 1 do
      local text = SAMPLE:sub(1, i)
      if is_lua(text) then assert.is_true(parses(text), text) else parses(text) end
    end
  end)

  it('comes to an end with any bytes, and takes what Lua takes', function()
    local random = math.random
    math.randomseed(20)
    local words = {}
    for word in SAMPLE:gmatch '%S+' do words[#words + 1] = word end
    local taken = 0
    for _ = 1, 300 do
      local at, len = random(#SAMPLE), random(0, 3)
      local with = random(3) == 1 and string.char(random(0, 255)) or words[random(#words)]
      local text = SAMPLE:sub(1, at - 1) .. with .. SAMPLE:sub(at + len)
      local ok = parses(text)
      if is_lua(text) then
        taken = taken + 1
        assert.is_true(ok, text)
      end
    end
    assert.is_true(taken > 10)
    for _ = 1, 300 do
      local bytes = {}
      for k = 1, random(60) do bytes[k] = string.char(random(0, 255)) end
      parses(table.concat(bytes))
    end
  end)

  it('is bounded in depth, as Lua is, and not in length', function()
    for _, text in ipairs { 'f(', '{', 'not ', '- ', '(', 'do ', 'x = function() ', 'x = {', 'if a then ', 'a[' } do
      local prefix = (text:find '^[{n-]' or text == '(') and 'x = ' or ''
      assert.is_false((parses(prefix .. text:rep(20000))), text)
    end
    assert.is_true((parses('x = a' .. ('.b'):rep(20000))))
    assert.is_true((parses('f' .. ('()'):rep(20000))))
    assert.is_true((parses('x = 1' .. (' + 1'):rep(20000))))
    assert.is_true((parses(('local a = a '):rep(10000))))
    assert.is_true((parses(('do end '):rep(10000))))
  end)
end)
