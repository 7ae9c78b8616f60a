--- mesh.action: what this node offers.

local check = require 'perilune.check'
local codec = require 'perilune.core.codec'
local core = require 'perilune.core.action'
local value = require 'perilune.core.value'
local require = require -- a script may put another one in its place

local M = {}

local WEIGHT_MAX = 10000
local TAGS_MAX, TAG_MAX = 16, 64 -- they are told to all nodes
local NAMES_MAX = 64
local TOLD = {
  'concurrency', 'queue', 'timeout', 'cpu_limit', 'idempotent', 'share', 'serializer', 'strategy', 'weight',
}

local OPTIONS = {
  concurrency = 'count',
  queue = 'count',
  timeout = 'seconds',
  cpu_limit = 'seconds',
  idempotent = 'boolean',
  share = 'boolean',
  serializer = 'string',
  description = 'string',
  strategy = 'string',
  weight = 'integer',
  allow = 'later',
  params = 'table',
  returns = 'table',
  chunks = 'table',
  tags = 'table',
}

---@class perilune.ActionOptions
---@field concurrency integer? Handlers at once; 0 = no bound of its own.
---@field queue integer? Holds so many calls until their deadlines; unless given they wait in the queue of the node.
---@field timeout number? Seconds that a call may run.
---@field cpu_limit number? Seconds of CPU time between two waits.
---@field idempotent boolean? A repeated call does no harm.
---@field share boolean? Equal calls of one caller that come while one of them runs get the answer of that one.
---@field serializer 'msgpack'|'json'|nil
---@field description string?
---@field strategy string? Who of its providers takes a call that does not say so itself.
---@field weight integer? 1 to 10000: its share of the calls with the strategy `weighted`.
---@field tags string[]? Words to find it by: `mesh.actions { tag = 'word' }`.
---@field params perilune.Schema[]? One for each argument; a call with others is refused with `INVALID`.
---@field returns perilune.Schema[]? One for each result.
---@field chunks perilune.Schema[]? One for each value of a chunk.

---@alias perilune.Schema string|table

local function check_tags(tags)
  if not tags then return nil end
  local out = value.array {}
  for key, tag in pairs(tags) do
    if math.type(key) ~= 'integer' or key < 1 or key > TAGS_MAX then
      error(("option 'tags' of mesh.action: a list of at most %d texts expected"):format(TAGS_MAX), 3)
    end
    if type(tag) ~= 'string' or tag == '' or #tag > TAG_MAX or tag:find '%c' or not utf8.len(tag) then
      error(("option 'tags' of mesh.action: a tag is a text of 1 to %d bytes"):format(TAG_MAX), 3)
    end
    out[#out + 1] = tag
  end
  table.sort(out)
  return out
end

--- The schemas among the options, by what they are of, and their rows for the core. What reads them is loaded by an
--- action that has some.
local function read_schemas(options)
  local lists, schema = {}, nil
  for _, what in ipairs { 'params', 'returns', 'chunks' } do
    if options[what] then
      schema = schema or require 'perilune.schema'
      lists[what] = schema.read(options[what], what, 'mesh.action', 3)
    end
  end
  return lists, schema and schema.rows(lists)
end

--- How the parameters of a function are called; nil where that is not known.
local function names_of(fn)
  if not debug.getlocal then return nil end -- in a sandbox
  local names = value.array {}
  for i = 1, NAMES_MAX do
    local name = debug.getlocal(fn, i)
    if not name then break end
    names[i] = name
  end
  return names
end

--- What is told of the action on demand (docs/protocol.md, 5.14), encoded.
local function describe(name, handler, options, lists, tags)
  local _, where = pcall(error, '', 4) -- "app.lua:12: "
  local limits = {}
  for _, key in ipairs(TOLD) do limits[key] = options[key] end
  local told = {
    action = name,
    description = options.description,
    where = where:match '^(.-): $',
    names = names_of(handler),
    options = limits,
    tags = tags,
  }
  for what, list in pairs(lists) do told[what] = value.array(list) end
  return codec.encode('msgpack', told)
end

--- Offers an action. Its return values are the result; every `coroutine.yield` at its own level is a streamed chunk.
--- Registering an existing name replaces it for new calls.
---
---@param name string 1 to 255 bytes; names beginning with `_` cannot be called from other nodes.
---@param handler fun(...: any): ...: any
---@param options perilune.ActionOptions?
function M.action(name, handler, options)
  check.arg(name, 'bytes', 1, 'mesh.action')
  check.arg(handler, 'function', 2, 'mesh.action')
  options = check.options(options, OPTIONS, 3, 'mesh.action')
  local serializer = options.serializer
  if serializer and serializer ~= 'msgpack' and serializer ~= 'json' then
    error(([[option 'serializer' of mesh.action: %q is neither "msgpack" nor "json"]]):format(serializer), 2)
  end
  if options.strategy then require 'perilune.choice'.check_strategy(options.strategy, 'mesh.action', 3) end
  local weight = options.weight
  if weight and (weight < 1 or weight > WEIGHT_MAX) then
    error(("option 'weight' of mesh.action: %d is not between 1 and %d"):format(weight, WEIGHT_MAX), 2)
  end
  local tags = check_tags(options.tags)
  local lists, rows = read_schemas(options)
  core.action(name, handler, {
    concurrency = options.concurrency,
    queue = options.queue,
    timeout = options.timeout,
    cpu_limit = options.cpu_limit,
    json = options.serializer == 'json',
    idempotent = options.idempotent,
    share = options.share,
  }, {
    serializer = options.serializer,
    description = options.description,
    idempotent = options.idempotent,
    strategy = options.strategy,
    weight = weight,
    concurrency = options.concurrency,
    timeout = options.timeout,
    tags = tags,
  }, rows, describe(name, handler, options, lists, tags))
end

--- Withdraws an action; calls in flight finish. False when there is none of that name.
---
---@param name string
---@return boolean
function M.remove(name)
  check.arg(name, 'bytes', 1, 'mesh.remove')
  return core.remove(name)
end

return M
