--- Addresses as RFC 3986 has them, strict: what is not an address raises `INVALID`.

local errors = require 'perilune.core.error'
local check = require 'perilune.check'

local M = {}

local function refuse(what, text)
  error(errors.new {
    code = 'INVALID',
    outcome = 'not_executed',
    message = ("%s '%s'"):format(what, text:sub(1, 200)),
  }, 0)
end

--- Escapes everything but letters, digits and `-._~`.
---
---@param text string
---@return string
function M.encode(text)
  check.arg(text, 'bytes', 1, 'url.encode')
  return (text:gsub('[^%w%-._~]', function(c) return ('%%%02X'):format(c:byte()) end))
end

local function check_escapes(text)
  if text:find '%%%X' or text:find '%%.%X' or text:find '%%.?$' then refuse('bad escape in', text) end
end

local function decode(text)
  check_escapes(text)
  return (text:gsub('%%(%x%x)', function(digits) return string.char(tonumber(digits, 16)) end))
end

--- Undoes `encode`.
---
---@param text string
---@return string
function M.decode(text)
  check.arg(text, 'bytes', 1, 'url.decode')
  return decode(text)
end

--- Reads `a=1&b=2`: `+` is a space, a name without `=` has the value ''. A name that occurs more than once has a list.
---
---@param text string
---@return table<string, string|string[]>
function M.parse_query(text)
  check.arg(text, 'bytes', 1, 'url.parse_query')
  local query = {}
  for pair in text:gmatch '[^&]+' do
    local name, value = pair:match '^([^=]*)=?(.*)$'
    name, value = decode((name:gsub('%+', ' '))), decode((value:gsub('%+', ' ')))
    local before = query[name]
    if before == nil then
      query[name] = value
    elseif type(before) == 'table' then
      before[#before + 1] = value
    else
      query[name] = { before, value }
    end
  end
  return query
end

--- Writes a table of strings, numbers, booleans and lists of them, sorted by name.
---
---@param query table<string, any>
---@return string
function M.format_query(query)
  check.arg(query, 'table', 1, 'url.format_query')
  local names = {}
  for name in pairs(query) do
    if type(name) ~= 'string' then error('url.format_query: names are strings', 2) end
    names[#names + 1] = name
  end
  table.sort(names)
  local pairs_of = {}
  for _, name in ipairs(names) do
    local values = query[name]
    for _, value in ipairs(type(values) == 'table' and values or { values }) do
      if type(value) == 'table' or type(value) == 'function' then
        error(("url.format_query: '%s' is a %s"):format(name, type(value)), 2)
      end
      pairs_of[#pairs_of + 1] = M.encode(name) .. '=' .. M.encode(tostring(value))
    end
  end
  return table.concat(pairs_of, '&')
end

---@class perilune.Url
---@field scheme string? In lower case.
---@field user string? Decoded, as `password`, `path` and `fragment`.
---@field password string?
---@field host string? In lower case; an IPv6 address without its brackets.
---@field port integer?
---@field path string
---@field query string? As it is written: see `parse_query`.
---@field fragment string?

local function check_octets(digits)
  for octet in digits:gmatch '%d+' do
    if tonumber(octet) > 255 then return false end
  end
  return true
end

--- Whether the text between brackets may be an IPv6 address.
local function is_ipv6(text)
  local groups, last = text:match '^([%x:]*:)(%d+%.%d+%.%d+%.%d+)$'
  if groups then
    if not check_octets(last) then return false end
    text = groups .. '0:0'
  end
  local compressed = text:find('::', 1, true)
  if text:find ':::' or compressed and text:find('::', compressed + 1, true) or text:find '[^%x:]' then return false end
  if text:find '^:[^:]' or text:find '[^:]:$' then return false end
  local count = 0
  for group in text:gmatch '%x+' do
    if #group > 4 then return false end
    count = count + 1
  end
  return compressed and count < 8 or not compressed and count == 8
end

--- Fills in user, password, host and port.
local function parse_authority(url, authority, text)
  local info, rest = authority:match '^(.*)@([^@]*)$'
  if info then
    local user, password = info:match '^([^:]*):?(.*)$'
    url.user, url.password = decode(user), info:find(':', 1, true) and decode(password) or nil
  end
  rest = rest or authority
  local host, port = rest:match '^%[([^%]]*)%](.*)$'
  if host then
    if not is_ipv6(host) then refuse('bad host in', text) end
  else
    host, port = rest:match '^([^:]*)(.*)$'
    host = decode(host)
    if host:find '[%c%s/?#@%[%]:<>"\\^`{|}]' then refuse('bad host in', text) end
  end
  if port ~= '' then
    local number = port:match '^:(%d%d?%d?%d?%d?)$'
    number = math.tointeger(tonumber(number))
    if not number or number > 65535 then refuse('bad port in', text) end
    url.port = number
  end
  url.host = host:lower()
end

--- Takes an address apart. One without a scheme is relative: it has a path, perhaps a query and a fragment.
---
---@param text string
---@return perilune.Url
function M.parse(text)
  check.arg(text, 'bytes', 1, 'url.parse')
  if text:find '[%c%s<>"\\^`{|}\x7f-\xff]' then refuse('bad character in', text) end
  local url, rest = {}, text
  local scheme, after = rest:match '^(%a[%w+.-]*):(.*)$'
  if scheme then
    url.scheme, rest = scheme:lower(), after
  elseif rest:match '^[^/?#]*:' then
    refuse('bad scheme in', text)
  end
  local before, fragment = rest:match '^([^#]*)#(.*)$'
  if before then url.fragment, rest = decode(fragment), before end
  before, url.query = rest:match '^([^?]*)%?(.*)$'
  rest = before or rest
  local authority, path = rest:match '^//([^/]*)(.*)$'
  if authority then
    parse_authority(url, authority, text)
    rest = path
  end
  if url.query then check_escapes(url.query) end
  url.path = decode(rest)
  return url
end

--- A path keeps its slashes and what may stand between them.
local function encode_path(path)
  return (path:gsub("[^%w%-._~!$&'()*+,;=:@/]", function(c) return ('%%%02X'):format(c:byte()) end))
end

local fields = {
  scheme = 'string', user = 'string', password = 'string', host = 'string', port = 'integer', path = 'string',
  query = 'any', fragment = 'string',
}

--- Puts an address together. `query` may be a table, as for `format_query`.
---
---@param url perilune.Url
---@return string
function M.format(url)
  check.arg(url, 'table', 1, 'url.format')
  check.options(url, fields, 1, 'url.format')
  local parts = {}
  local function add(...) parts[#parts + 1] = table.concat { ... } end
  if url.scheme then add(url.scheme, ':') end
  local path = url.path or ''
  if url.host then
    add '//'
    if url.user then add(M.encode(url.user), url.password and ':' .. M.encode(url.password) or '', '@') end
    add(url.host:find(':', 1, true) and '[' .. url.host .. ']' or M.encode(url.host))
    if url.port then add(':', url.port) end
    if path ~= '' and path:sub(1, 1) ~= '/' then path = '/' .. path end
  end
  add(encode_path(path))
  if url.query then add('?', type(url.query) == 'table' and M.format_query(url.query) or url.query) end
  if url.fragment then add('#', encode_path(url.fragment)) end
  return table.concat(parts)
end

return M
