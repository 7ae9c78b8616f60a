--- Reads the text format of Prometheus, version 0.0.4, and fails on whatever it does not allow.

local M = {}

local function unescape(value)
  return (value:gsub('\\(.)', function(c)
    assert(c == '\\' or c == '"' or c == 'n', 'no escape: \\' .. c)
    return c == 'n' and '\n' or c
  end))
end

--- `{a="b",c="d"}`, without the braces.
local function read_labels(text)
  local labels, at = {}, 1
  while at <= #text do
    local name, open = text:match('^([%a_][%w_]*)="()', at)
    assert(name and not labels[name], 'bad label: ' .. text)
    local stop = open
    while text:sub(stop, stop) ~= '"' do
      assert(stop <= #text, 'no end of a label: ' .. text)
      stop = stop + (text:sub(stop, stop) == '\\' and 2 or 1)
    end
    labels[name] = unescape(text:sub(open, stop - 1))
    at = stop + 1
    if at <= #text then assert(text:sub(at, at) == ',', text) at = at + 1 end
  end
  return labels
end

--- The family that a sample belongs to.
local function family_of(name, current)
  if not current then return nil end
  if name == current.name then return current end
  local suffix = name:sub(1, #current.name) == current.name and name:sub(#current.name + 1)
  local of_histogram = suffix == '_bucket' or suffix == '_sum' or suffix == '_count'
  return current.type == 'histogram' and of_histogram and current or nil
end

--- Families by name: `{ type =, help =, samples = { { name =, labels =, value = }, … } }`.
---
---@param text string
---@return table<string, table>
function M.parse(text)
  assert(text:sub(-1) == '\n' and utf8.len(text), 'it does not end with a line, or is no UTF-8')
  local families, current = {}, nil
  for line in text:gmatch '([^\n]*)\n' do
    local help, about = line:match '^# HELP ([%a_:][%w_:]*) (.+)$'
    local of, type = line:match '^# TYPE ([%a_:][%w_:]*) (%l+)$'
    if help then
      assert(not families[help], 'twice: ' .. help)
      current = { name = help, help = about, samples = {} }
      families[help] = current
    elseif of then
      assert(current and current.name == of and not current.type and #current.samples == 0, line)
      current.type = type
    else
      local name, labels, value = line:match '^([%a_:][%w_:]*)(%b{}) (%S+)$'
      if not name then name, value = line:match '^([%a_:][%w_:]*) (%S+)$' end
      local family = assert(family_of(assert(name, line), current), 'no family: ' .. line)
      family.samples[#family.samples + 1] = {
        name = name, labels = labels and read_labels(labels:sub(2, -2)) or {}, value = assert(tonumber(value), line),
      }
    end
  end
  return families
end

--- The value of the sample with these labels; nil: there is none.
function M.value(families, name, labels)
  for _, family in pairs(families) do
    for _, sample in ipairs(family.samples) do
      local same = sample.name == name
      for key, value in pairs(labels or {}) do same = same and sample.labels[key] == value end
      if same then return sample.value end
    end
  end
end

return M
