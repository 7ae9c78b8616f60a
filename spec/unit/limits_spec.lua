-- docs/bounds.md names every limit with its value, and counters that exist.

local native = require('perilune.testing').cluster

local function read(path)
  local file = assert(io.open(path))
  local text = file:read 'a'
  file:close()
  return text
end

--- The limits as { name, value }, in their order.
local function limits()
  local list = {}
  local code = read('runtime/base/limits.h'):gsub('//[^\n]*', '')
  for name, value in code:gmatch '(PL_[%u%d_]+)%s*=%s*([^,}]+)' do
    list[#list + 1] = { name = name, value = assert(load('return ' .. value))() }
  end
  return list
end

local function bounds()
  return read 'docs/bounds.md'
end

--- The cells of each row of the tables.
local function rows(text)
  local list = {}
  for line in text:gmatch '[^\n]+' do
    if line:match '^|' and not line:match '^| %-%-%-' then
      local cells = {}
      for cell in line:sub(2):gmatch '%s*(.-)%s*|' do cells[#cells + 1] = cell end
      list[#list + 1] = cells
    end
  end
  return list
end

local function number(n) return ('%.10g'):format(n) end

--- How a value may be written.
local function written(limit)
  local v, forms = limit.value, {}
  local function add(n, unit)
    if n >= 1 then forms[#forms + 1] = number(n) .. unit end
  end
  if limit.name:match '_US$' then
    add(v / 1e6, ' s')
    add(v / 1e3, ' ms')
  elseif limit.name:match '_NS$' then
    add(v / 1e6, ' ms')
    add(v / 1e3, ' us')
  elseif limit.name:match '_MS$' then
    add(v / 1e3, ' s')
  else
    add(v, '')
    add(v / 1024, ' KiB')
    add(v / 1024 ^ 2, ' MiB')
    add(v / 1024 ^ 3, ' GiB')
  end
  return forms
end

local function says(cells, limit)
  local text = ' ' .. table.concat(cells, ' ') .. ' '
  for _, form in ipairs(written(limit)) do
    if text:find('[^%d.]' .. form:gsub('%.', '%%.') .. '[^%d]') then return true end
  end
  return false
end

describe('the bounds in docs/bounds.md', function()
  it('are all of the limits', function()
    local text = bounds()
    for _, limit in ipairs(limits()) do
      assert(text:find('`' .. limit.name .. '`', 1, true),
        limit.name .. ' of runtime/base/limits.h is missing in a table of docs/bounds.md')
    end
  end)

  it('are nothing else', function()
    local known = {}
    for _, limit in ipairs(limits()) do known[limit.name] = true end
    for name in bounds():gmatch '`(PL_[%u%d_]+)`' do
      assert(known[name], name .. ' in docs/bounds.md is no limit of runtime/base/limits.h')
    end
  end)

  it('have the values of the limits', function()
    local count = 0
    for _, cells in ipairs(rows(bounds())) do
      for _, limit in ipairs(limits()) do
        if cells[#cells]:find('`' .. limit.name .. '`', 1, true) then
          count = count + 1
          assert(says(cells, limit),
            ('docs/bounds.md does not say that %s is %s'):format(limit.name, number(limit.value)))
        end
      end
    end
    assert.is_true(count > 60)
  end)

  it('have counters that exist', function()
    local net = native.new 'virtual'
    local metrics = net:metrics()
    net:free()
    local count = 0
    for _, cells in ipairs(rows(bounds())) do
      for name in (#cells == 5 and cells[4] or ''):gmatch '`([%l_]+)`' do
        count = count + 1
        assert(metrics[name], name .. ' in docs/bounds.md is no counter')
      end
    end
    assert.is_true(count > 20)
  end)
end)
