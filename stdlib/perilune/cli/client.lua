--- What the commands share: arguments, joining the mesh, output, failing.
---
--- A command is a script that the executable runs in a leaf node. Its arguments are `--name` and
--- `--name=value` of its own options, `--`, and what the user wants.

local core_error = require 'perilune.core.error'
local json = require 'perilune.json'
local mesh = require 'perilune'
local node = require 'perilune.core.node'
local stdio = require 'perilune.stdio'

local M = {}

local FAILED, USAGE, NOT_REACHED = 1, 2, 3
local TOLD_MAX = 1500 -- bytes of a line that may have any word in it

--- An end of the command that is told to the user: an exit code, a line, and further lines.
local Failure = {}

local function fail(exit, text, lines)
  if #text > TOLD_MAX then text = text:sub(1, TOLD_MAX) .. '...' end
  error(setmetatable({ exit = exit, text = text, lines = lines or {} }, Failure))
end

--- Ends the command: it could not do all that it was asked for.
---
---@param text string
function M.fail(text) return fail(FAILED, text) end

--- Ends the command: it was asked for something that makes no sense.
---
---@param text string
function M.refuse(text) return fail(USAGE, text) end

--- Tells the user something; the command goes on.
---
---@param text string
function M.complain(text) io.stderr:write(M.printable(text), '\n') end

--- The options and words of the command line.
---
---@return table<string, string|true> options
---@return string[] words
function M.arguments()
  local options, words = {}, {}
  local at = 1
  while arg[at] ~= '--' do
    local name, value = arg[at]:match '^%-%-([^=]+)=?(.*)$'
    options[name] = arg[at]:find('=', 1, true) and value or true
    at = at + 1
  end
  table.move(arg, at + 1, #arg, 1, words)
  return options, words
end

local function quoted_for_shell(text)
  return "'" .. text:gsub("'", [['\'']]) .. "'"
end

--- A word as a shell reads it.
---
---@param text string
---@return string
function M.shell_word(text)
  return text:find '^[%w_.:/,+-]+$' and text or quoted_for_shell(text)
end

local SHOWN = 200 -- bytes of a wrong argument: enough to know it again

--- Ends the command: an argument is not JSON.
local function refuse(text, reason)
  local lines = {}
  if text:find '^%s*["%[{]' then lines[1] = reason end
  if #text > SHOWN then
    return fail(USAGE, ("INVALID: '%s…' is not JSON"):format(text:sub(1, utf8.offset(text, 0, SHOWN) - 1)), lines)
  end
  local quotable, as_string = pcall(json.encode, text)
  local hint = quotable and not as_string:find '^{' and '; quote a string as ' .. quoted_for_shell(as_string) or ''
  fail(USAGE, ("INVALID: '%s' is not JSON%s"):format(text, hint), lines)
end

--- Values of JSON arguments, packed: a null among them is nil.
---
---@param words string[]
---@return table
function M.values(words)
  local values = { n = #words }
  for i, text in ipairs(words) do
    local ok, value = pcall(json.decode, text)
    if not ok then refuse(text, value.message) end
    if value ~= json.null then values[i] = value end
  end
  return values
end

--- One value as JSON.
---
---@param value any
---@return string
function M.json(value)
  return value == nil and 'null' or json.encode(value)
end

--- Ends the command: there are nodes, but they take it for a stranger.
local function refuse_unauthorized(lines)
  if node.options().psk.source == 'default' then
    lines[#lines + 1] = 'give the file with the key of the mesh: --psk FILE, or PERILUNE_PSK'
  end
  fail(NOT_REACHED, 'UNAUTHORIZED: no node was reached', lines)
end

--- Ends the command: there is nobody to ask.
local function refuse_alone()
  local lines, given, unauthorized = {}, false, false
  for _, contact in ipairs(node.contacts()) do
    local refused = contact.code == 'UNAUTHORIZED'
    given, unauthorized = given or not contact.found, unauthorized or refused
    if refused or not contact.found then
      lines[#lines + 1] = ('%s: %s'):format(contact.url, contact.message or 'no answer')
    end
  end
  if unauthorized then refuse_unauthorized(lines) end
  if given then
    lines[#lines + 1] = "start a node there with 'perilune run FILE --listen URL', or name another with --peer"
    return fail(NOT_REACHED, 'CONNECT_FAILED: no node was reached', lines)
  end
  local name = node.options().mesh.value or 'default'
  if name == '' then fail(NOT_REACHED, 'CONNECT_FAILED: neither a local mesh nor a --peer to ask') end
  fail(NOT_REACHED, ("CONNECT_FAILED: no node runs in the local mesh '%s' of this user"):format(name), {
    "start one with 'perilune run FILE', or name one elsewhere with --peer URL",
  })
end

--- The other nodes of the mesh, and whether any of them is there to be asked.
---
---@return table[] others
---@return boolean reached
function M.others()
  local others, reached = {}, false
  for _, other in ipairs(mesh.nodes()) do
    if other.hops > 0 then
      others[#others + 1] = other
      reached = reached or other.state == 'up'
    end
  end
  return others, reached
end

--- Whether somebody has said which mesh to ask.
---
---@return boolean
function M.names_mesh()
  local options = node.options()
  return options.peers.source ~= 'default' or options.mesh.source ~= 'default'
end

--- Joins the mesh and returns the other nodes of it.
---
---@return table[]
function M.join()
  local others, reached = M.others()
  if not reached then refuse_alone() end
  return others
end

--- Writes to standard output, as fast as its reader takes it.
---
---@param text string
function M.write(text)
  if text ~= '' then stdio.write(text) end
end

--- Whether nobody reads the output any more. Pipes of a handler are another matter.
local function has_left(err)
  local details = type(err) == 'table' and not err.action and err.details
  return type(details) == 'table' and details.errno == 'EPIPE'
end

--- Text of others without what would steer the terminal of who reads it.
---
---@param text string
---@return string
function M.printable(text)
  return (text:gsub('[%z\1-\8\11-\31\127]', function(c) return ('\\x%02x'):format(c:byte()) end))
end

--- What is said of an error, line by line.
---
---@param err any
---@return string[]
function M.describe(err)
  local lines = { core_error.text(err) }
  if type(err) ~= 'table' then return lines end
  for _, field in ipairs { 'action', 'outcome', 'node', 'trace_id', 'retry_after' } do
    local is_told = field ~= 'outcome' or err.action -- without a call there is nothing that did or did not run
    if err[field] and is_told then lines[#lines + 1] = ('  %s: %s'):format(field, err[field]) end
  end
  if err.details ~= nil then
    local ok, details = pcall(json.encode, err.details)
    lines[#lines + 1] = '  details: ' .. (ok and details or tostring(err.details))
  end
  if err.code == 'NO_ROUTE' and not err.action then
    lines[#lines + 1] = "  'perilune nodes' lists those that are there"
  end
  if err.code == 'STREAM_EXPECTED' then lines[#lines + 1] = "  it streams: use 'perilune stream'" end
  lines[#lines + 1] = err.traceback
  return lines
end

local function report(err)
  if getmetatable(err) == Failure then
    M.complain(table.concat({ err.text, table.unpack(err.lines) }, '\n  '))
    return err.exit
  end
  if has_left(err) then return 0 end -- whoever read the output had enough
  if node.stopping() then return FAILED end -- interrupted, which is no news to who did it
  M.complain(table.concat(M.describe(err), '\n'))
  return FAILED
end

--- Runs the body of a command. What it raises is told to the user and makes the exit code.
---
---@param body fun()
function M.run(body)
  local ok, err = pcall(body)
  if not ok then os.exit(report(err)) end
end

return M
