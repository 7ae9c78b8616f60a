--- Names of files that may come from a stranger, and what goes wrong with them.

local errors = require 'perilune.core.error'

local M = {}

local NAME_MAX, COMPONENT_MAX = 1024, 255
local PART_EXTRA = #'..part' -- that the name of a file has more while it is written

--- What is wrong with a name that shall lead below a folder; nil when nothing is.
---
---@param name any
---@return string?
local function problem(name)
  if type(name) ~= 'string' then return ('a name is a string, not a %s'):format(type(name)) end
  if name == '' then return 'the name is empty' end
  if #name > NAME_MAX then return ('the name has more than %d bytes'):format(NAME_MAX) end
  if name:find '%c' then return 'the name has control characters' end
  if name:sub(1, 1) == '/' then return 'the name is absolute' end
  for component in (name .. '/'):gmatch '([^/]*)/' do
    if component == '' or component == '.' or component == '..' then
      return ("the name has '%s' between slashes"):format(component)
    end
    if #component > COMPONENT_MAX then return ('more than %d bytes between slashes'):format(COMPONENT_MAX) end
  end
  local last = name:match '[^/]*$'
  if last:find '^%..*%.part$' then return 'such names are those of files that are being written' end
  if #last > COMPONENT_MAX - PART_EXTRA then
    return ('the name has more than %d bytes'):format(COMPONENT_MAX - PART_EXTRA)
  end
end

--- Raises an error of the given code; `more` has further fields.
---
---@param code string
---@param message string
---@param more table?
function M.fail(code, message, more)
  local err = { code = code, outcome = 'executed', message = message }
  for key, value in pairs(more or {}) do err[key] = value end
  error(errors.new(err), 0)
end

--- Raises `INVALID` unless the name may lead below a folder.
---
---@param name any
function M.check(name)
  local what = problem(name)
  if what then M.fail('INVALID', what) end
end

--- The folder and the name in it of a path of this machine.
---
---@param path string
---@return string folder, string name
function M.split(path)
  local folder, name = path:match '^(.*)/([^/]*)$'
  if not folder then folder, name = '.', path end
  local what = problem(name)
  if what then M.fail('INVALID', ('%s: %s'):format(path, what)) end
  return folder == '' and '/' or folder, name
end

local BUSY_FOR = 1 -- seconds after which a refused writer may ask again

local refusals = {
  ENOENT = { 'NO_FILE', 'there is no such file or folder' },
  ENOTDIR = { 'NO_FILE', 'there is no such file or folder' },
  EISDIR = { 'NOT_A_FILE', 'it is a folder' },
  EFTYPE = { 'NOT_A_FILE', 'it is a link or something special' },
  ENAMETOOLONG = { 'INVALID', 'the name is too long' },
}

--- Raises that another writes the file, when that is what the system says.
---
---@param err any
---@param name string
function M.refuse_busy(err, name)
  local errno = type(err) == 'table' and type(err.details) == 'table' and err.details.errno
  if errno ~= 'EBUSY' then return end
  M.fail('BUSY', ('%s: another transfer is writing it'):format(name), { retry_after = BUSY_FOR })
end

--- Does what opens a file for a stranger: what the system refuses is raised with a code that says what is wrong with
--- the name.
---
---@param name string
---@param open fun(...: any): any
---@return any # what `open` returned
function M.opening(name, open, ...)
  local ok, result = pcall(open, ...)
  if ok then return result end
  local errno = type(result) == 'table' and type(result.details) == 'table' and result.details.errno
  local refusal = refusals[errno]
  if refusal then M.fail(refusal[1], ('%s: %s'):format(name, refusal[2])) end
  error(result, 0)
end

return M
