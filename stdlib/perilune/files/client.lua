--- Downloads from, and uploads to, a node that offers files.

local callers = require 'perilune.callers'
local errors = require 'perilune.core.error'
local names = require 'perilune.files.names'
local parts = require 'perilune.files.part'
local sources = require 'perilune.files.source'

local M = {}

local function broken_answer(what)
  names.fail('PROTOCOL', 'the other end is no server of files: ' .. what)
end

local function check_size(value, what)
  if math.type(value) ~= 'integer' or value < 0 then broken_answer(what) end
  return value
end

--- What the other end is told of an error, which may be a table that a script raised.
local function reason(err)
  local code = type(err) == 'table' and not errors.is(err) and err.code
  return code and ('%s: %s'):format(code, err.message) or tostring(err)
end

--- Runs one end of a transfer. What fails here is told to the other end.
local function through(stream, fn, ...)
  local results = table.pack(pcall(fn, stream, ...))
  if results[1] then return table.unpack(results, 2, results.n) end
  stream:abort(reason(results[2]))
  error(results[2], 0)
end

--- Where the other end goes on: it answers when it has looked at what is there.
local function agree(stream, wanted)
  while true do
    local more, answer = stream:next()
    local at = more and type(answer) == 'table' and answer.at
    if at == 0 or at == wanted then return at end
    if not more or type(answer) ~= 'table' or not answer.busy then broken_answer 'it does not say where to go on' end
  end
end

local function receive(stream, part, wanted, options)
  local info = stream:info()
  if info == nil then
    stream:result() -- raises why
    broken_answer 'it does not tell the size'
  end
  local total = check_size(type(info) == 'table' and info.size, 'it does not tell the size')
  if wanted and agree(stream, wanted) == 0 then part:restart() end
  options.progress(part.size, total)
  for block in stream do
    if type(block) ~= 'string' then broken_answer 'blocks are strings' end
    if part.size + #block > total then broken_answer 'more came than it told' end
    part:write(block)
    options.progress(part.size, total)
  end
  local last = stream:result()
  if type(last) ~= 'table' or type(last.sha256) ~= 'string' then broken_answer 'it does not tell the digest' end
  return part:commit(check_size(last.size, 'it does not tell the size'), last.sha256)
end

local function caller_of(options, node)
  return callers.with {
    node = node or options.node, timeout = options.timeout, idle = options.idle, wait = options.wait,
    priority = options.priority, meta = options.meta,
  }
end

--- Fetches a file.
---
---@param name string Of `files.serve`.
---@param remote string
---@param path string
---@param options perilune.files.TransferOptions
---@return integer size, string sha256
function M.download(name, remote, path, options)
  local folder, file = names.split(path)
  local part <close> = parts.open(folder, file, { keep = options.resume, max = options.max_size, label = path })
  local wanted = { offset = options.offset }
  if options.resume and part.size > 0 then
    wanted.at = part.size
    wanted.sha256 = part:resume(part.size)
  else
    part:restart()
  end
  local stream <close> = caller_of(options).stream(name .. '.get', remote, wanted)
  local size, sha256 = through(stream, receive, part, wanted.at, options)
  return size, sha256
end

local function look(name, remote, options)
  local found = caller_of(options).call(name .. '.stat', remote)
  if type(found) ~= 'table' then broken_answer 'it does not tell what is there' end
  for _, field in ipairs { 'size', 'part' } do
    if found[field] ~= nil then check_size(found[field], 'a size is no number') end
  end
  return found
end

--- What a node has of a file.
---
---@param name string
---@param remote string
---@param options perilune.files.TransferOptions
---@return { size: integer?, modified: number?, part: integer?, node: string }
function M.stat(name, remote, options)
  local found = look(name, remote, options)
  if not found.size and not found.part then names.fail('NO_FILE', remote .. ': there is no such file') end
  return found
end

local function send(stream, source, wanted, options)
  if wanted.at and agree(stream, wanted.at) == 0 then source:rewind() end
  options.progress(source.at, source.size)
  for block in source do
    if not stream:send(block) then break end
    options.progress(source.at, source.size)
  end
  local sha256 = source:digest()
  stream:send { size = source.size, sha256 = sha256 }
  stream:finish()
  local stored = stream:result()
  if type(stored) ~= 'table' or stored.size ~= source.size or stored.sha256 ~= sha256 then
    broken_answer 'it has not stored what was sent'
  end
  return stored.size, stored.sha256
end

--- Stores a file there.
---
---@param name string Of `files.serve`.
---@param path string
---@param remote string
---@param options perilune.files.TransferOptions
---@return integer size, string sha256
function M.upload(name, path, remote, options)
  local source <close> = sources.open(nil, path, options.offset)
  local wanted, found = { size = source.size, keep = options.resume }, {}
  if options.resume then found = look(name, remote, options) end
  local at = found.part or 0
  if at > 0 and at <= source.size then
    wanted.at = at
    wanted.sha256 = source:prefix(at)
  end
  local stream <close> = caller_of(options, found.node).stream(name .. '.put', remote, wanted)
  local size, sha256 = through(stream, send, source, wanted, options)
  return size, sha256
end

return M
