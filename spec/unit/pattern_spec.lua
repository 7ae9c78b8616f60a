local process = require 'spec.support.process'
local script = require 'spec.support.script'

-- This file runs in a plain interpreter: its string library is the one to compare with.
local plain = string

--- Subjects and patterns of every construct; each is tried with each.
local SUBJECTS = {
  '', 'a', 'aaa', 'hello world', ' trim me ', 'key = value', 'f(a(b)c)d', 'THE (quick) fox', 'x=1, y=2,z=3',
  'äöü', '\0a\0', '%d [x] ^$', '2026-11-21T03:30', '0x1F', '((()', 'abcabcabc', 'line\nline\n', '-.-', ']]^',
}

local PATTERNS = {
  '', 'a', 'a*', 'a+', 'a-', 'a?', '.-b', '^a', 'a$', '^a*$', '^$', '$', '%a+', '%A+', '%d', '%s*', '%w+', '%p', '%x+',
  '%u%l*', '%c', '%g+', '[abc]', '[^abc]+', '[a-c]*', '[%a_][%w_]*', '[]]', '[^]]', '[%]]', '[a-]', '[^%s]', '[%d-x]',
  '()', '(a)', '(a*)', '(.)(.)', '((a)(b))', '(%w+)%s*=%s*(%w+)', '^%s*(.-)%s*$', '%b()', '%f[%w]%w+', '%f[%A]',
  '(.)%1', '(a)%1', '()a()', '%%', '%.', '.', '..', '[%z]', '\0', '(%d+)-(%d+)-(%d+)', '^(.*)b', '.*', '[\128-\255]+',
  -- malformed
  '%', '[', '[a', '[^', '[]', '(', ')', '(a', 'a)', '%1', '(%1)', '%b', '%b(', '%f', '%fa', '()%1', '[%', '[%a',
}

local function dump(...)
  local t = table.pack(...)
  for i = 1, t.n do t[i] = type(t[i]) == 'function' and 'f' or ('%q'):format(t[i]) end
  return table.concat(t, ' ')
end

--- What is compared, as source: it runs here and in a VM.
local COMPARE = [[
local string, dump, subjects, patterns = ...
local out = {}
local function try(...) out[#out + 1] = dump(select(2, pcall(...))) end
for _, s in ipairs(subjects) do
  for _, p in ipairs(patterns) do
    for _, init in ipairs { 1, 2, -2, 100, 0 } do
      try(string.find, s, p, init)
      try(string.match, s, p, init)
    end
    try(function()
      local all, n = {}, 0
      for a, b in string.gmatch(s, p) do all[#all + 1] = tostring(a) .. '/' .. tostring(b) n = n + 1 end
      return table.concat(all, ','), n
    end)
    for _, r in ipairs { '<%0>', '%1', '%%', 'x', '%2', '%x', { a = 'A', abc = 7, x = false }, print and function(c, d)
      return c == 'a' and 'A' or d
    end } do
      try(string.gsub, s, p, r)
      try(string.gsub, s, p, r, 1)
    end
  end
end
try(string.find, 'a.b', '.', 1, true)
try(string.find, 'abc', '', 4, true)
try(string.find, 'abc', '', 5)
try(string.gsub, 'abc', 'b', function() return {} end)
try(string.gsub, 'abc', 'b', true)
try(string.gsub, 'abc', '%w', '%9')
try(string.gmatch, 'abc', 'b', 9)
try(string.rep, 'x', 3, ',')
return out
]]

describe('a pattern', function()
  after_each(script.close_all)

  it('matches as in plain Lua, and fails with the same words', function()
    local want = assert(load(COMPARE))(plain, dump, SUBJECTS, PATTERNS)
    local function list(t)
      local quoted = {}
      for i, s in ipairs(t) do quoted[i] = ('%q'):format(s) end
      return '{' .. table.concat(quoted, ',') .. '}'
    end
    local got = script.eval([[
      local function dump(...)
        local t = table.pack(...)
        for i = 1, t.n do t[i] = type(t[i]) == 'function' and 'f' or ('%q'):format(t[i]) end
        return table.concat(t, ' ')
      end
      local out = assert(load(]] .. ('%q'):format(COMPARE) .. '))(string, dump, ' .. list(SUBJECTS) .. ', '
      .. list(PATTERNS) .. ") return table.concat(out, '\\1\\2')")
    local i = 0
    for line in (got .. '\1\2'):gmatch '(.-)\1\2' do
      i = i + 1
      assert.equal(want[i], line)
    end
    assert.equal(#want, i)
  end)

  for name, source in pairs {
    ['many repetitions'] = "('a'):rep(60):find(('.-'):rep(30) .. 'b')",
    ['repetitions over a long subject'] = "('a'):rep(1e6):match '.-.-.-b'",
    ['a search of every start'] = "('('):rep(1e6):find '%b()'",
    ['a replacement'] = "('a'):rep(1e5):gsub('a*a*a*b', '')",
    ['a walk'] = "for _ in ('a'):rep(1e5):gmatch 'a*a*a*b' do end",
  } do
    it('that would take for ever is refused: ' .. name, function()
      local start = os.clock()
      local state, result = script.run(source, { cpu_limit_us = 60000000 })
      assert.equal('failed', state)
      -- Under sanitizers so many steps take longer than a script may hold up its node.
      local slow = process.patience > 1 and result:find 'CPU_LIMIT'
      assert.truthy(slow or result:find('pattern takes too many steps', 1, true), result)
      assert.is_true(os.clock() - start < 5 * process.patience)
    end)
  end

  it('that takes time in proportion to its subject is not refused', function()
    local words = process.patience > 1 and 100000 or 1000000
    assert.equal(('%d %d %d'):format(5 * words, words, 4 * words), script.eval([[
      local s = ('word '):rep(]] .. words .. [[)
      local n = 0
      for _ in s:gmatch '%a+' do n = n + 1 end
      return #s, n, #s:gsub('%s+', '')
    ]]))
  end)

  it('is not needed to find plain text in a long one', function()
    assert.equal('nil', script.eval "return (('a'):rep(4e6):find(('a'):rep(2e6) .. 'b', 1, true))")
  end)

  it('is no bound of table.move over nothing, which ends with its task', function()
    local _, result = script.run('table.move({}, 1, 1 << 60, 2)', { cpu_limit_us = 50000 })
    assert.truthy(result:find('CPU_LIMIT', 1, true), result)
    assert.equal('2 3', script.eval 'return table.unpack(table.move({ 1, 2, 3 }, 2, 3, 1), 1, 2)')
  end)
end)
