--- The pages hang together: links lead somewhere, and every page is listed in the guide.

local lfs = require 'lfs'

local function read(path)
  local file <close> = assert(io.open(path, 'rb'))
  return file:read 'a'
end

local function pages()
  local found = { 'README.md', 'bench/README.md' }
  for _, folder in ipairs { 'docs', 'docs/examples', 'docs/reference' } do
    if lfs.attributes(folder) then
      for name in lfs.dir(folder) do
        if name:match '%.md$' then found[#found + 1] = folder .. '/' .. name end
      end
    end
  end
  table.sort(found)
  return found
end

--- What GitHub makes of a heading.
local function anchor(heading)
  return (heading:lower():gsub('[^%w _-]', ''):gsub(' ', '-'))
end

--- Without what stands in fences, comments and code spans.
local function prose(text)
  return (('\n' .. text):gsub('\n```.-\n```', '\n'):gsub('<!%-%-.-%-%->', ''):gsub('`[^`\n]*`', function(span)
    return (span:gsub('[%[%]]', ''))
  end))
end

local function anchors(path)
  local set, text = {}, ('\n' .. read(path)):gsub('\n```.-\n```', '\n')
  for heading in text:gmatch '\n#+ ([^\n]*)' do set[anchor(heading)] = true end
  return set
end

--- 'docs/a.md', '../README.md' -> 'README.md'
local function resolve(from, target)
  local path = (from:match '^(.*/)' or '') .. target
  repeat
    local changed
    path, changed = path:gsub('[^/]+/%.%./', '')
  until changed == 0
  return path
end

local function links(path)
  local found = {}
  for target in prose(read(path)):gmatch '%]%(([^)%s]+)%)' do
    if not target:match '^%a+:' then found[#found + 1] = target end
  end
  return found
end

describe('the pages', function()
  for _, page in ipairs(pages()) do
    it('have links that lead somewhere in ' .. page, function()
      for _, target in ipairs(links(page)) do
        local file, part = target:match '^([^#]*)#?(.*)$'
        local path = file == '' and page or resolve(page, file)
        assert.truthy(lfs.attributes(path), page .. ': ' .. target)
        assert(part == '' or anchors(path)[part], page .. ': ' .. target)
      end
    end)
  end

  it('are all listed in docs/README.md', function()
    local listed = {}
    for _, target in ipairs(links 'docs/README.md') do
      listed[resolve('docs/README.md', target:match '^[^#]*')] = true
    end
    for _, page in ipairs(pages()) do
      if page:match '^docs/[^/]*%.md$' and page ~= 'docs/README.md' then
        assert.is_true(listed[page], page .. ' is not listed')
      end
    end
  end)
end)
