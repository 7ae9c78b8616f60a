--- The waiting versions of Lua's own functions on standard input, processes and the shell (lua/io.c installs them).
--- Each takes the original first, then the arguments of the original.

local check = require 'perilune.check'
local readers = require 'perilune.reader'
local stdio = require 'perilune.stdio'
local sys = require 'perilune.core.sys'

local M = {}

-- C frames of the installed functions stand between: the script's line is three levels up.
local CALLER = 3

--- Whether reading by default means reading standard input.
local function is_stdin()
  return io.input() == io.stdin
end

function M.read(original, ...)
  if not is_stdin() then return original(...) end
  readers.check('read', CALLER, ...)
  return stdio.read(...)
end

function M.lines(original, name, ...)
  if name ~= nil or not is_stdin() then return original(name, ...) end
  readers.check('lines', CALLER, ...)
  return stdio.lines(...)
end

function M.stdin_read(_, _, ...)
  readers.check('read', CALLER, ...)
  return stdio.read(...)
end

function M.stdin_lines(_, _, ...)
  readers.check('lines', CALLER, ...)
  return stdio.lines(...)
end

-- A file of popen is a userdata, as scripts expect of files; this is what is behind it.
---@type table<userdata, { handle: userdata, reader: perilune.Reader?, closed: boolean? }>
local states = setmetatable({}, { __mode = 'k' })

local function state_of(file, level)
  local state = states[file]
  if not state then error('bad file of popen', level + 1) end
  if state.closed then error('attempt to use a closed file', level + 1) end
  return state
end

local Pipe = {}

function Pipe:read(...)
  local state = state_of(self, 2)
  readers.check('read', 2, ...)
  if not state.reader then return nil, 'Bad file descriptor', 9 end
  return state.reader:read(...)
end

function Pipe:lines(...)
  local state = state_of(self, 2)
  readers.check('lines', 2, ...)
  if not state.reader then error('Bad file descriptor', 2) end
  local next_line = state.reader:lines(...)
  return function()
    if state.closed then error('file is already closed', 2) end
    return next_line()
  end
end

function Pipe:write(...)
  local state = state_of(self, 2)
  if state.reader then return nil, 'Bad file descriptor', 9 end
  local bytes = check.join('write', ...)
  if bytes ~= '' then state.handle:write(bytes) end
  return self
end

function Pipe:flush()
  state_of(self, 2)
  return self
end

function Pipe:setvbuf()
  state_of(self, 2)
  return true
end

function Pipe:seek()
  state_of(self, 2)
  return nil, 'Illegal seek', 29
end

--- What os.execute and close return of an end.
local function verdict(code, signal)
  if signal then return nil, 'signal', signal end
  return code == 0 or nil, 'exit', code
end

--- Waits for the end of the command.
function Pipe:close()
  local state = state_of(self, 2)
  state.closed = true
  local handle <close> = state.handle
  handle:finish()
  if state.reader then handle:hang_up() end
  return verdict(handle:wait())
end

local pipe_metatable = {
  __index = Pipe,
  __name = 'FILE*',
  __tostring = function(file)
    return states[file].closed and 'file (closed)' or ('file (%p)'):format(file)
  end,
  __close = function(file)
    if not states[file].closed then Pipe.close(file) end
  end,
}

--- Terminal programs keep their terminal; everything else gets a session, so that it can be ended as a whole.
local function owns_session()
  return not sys.is_tty 'stdin'
end

function M.popen(_, command, mode)
  if type(command) ~= 'string' then
    error(("bad argument #1 to 'popen' (string expected, got %s)"):format(type(command)), CALLER)
  end
  mode = mode or 'r'
  if mode ~= 'r' and mode ~= 'w' then error("bad argument #2 to 'popen' (invalid mode)", CALLER) end
  io.stdout:flush()
  local stdin, stdout = mode == 'w' and 'pipe' or 'inherit', mode == 'r' and 'pipe' or 'inherit'
  local process = require 'perilune.core.process' -- which a sandbox may not have
  local handle = process.spawn({ '/bin/sh', '-c', command }, nil, nil, stdin, stdout, 'inherit', owns_session())
  local file = sys.box(pipe_metatable)
  local state = { handle = handle }
  if mode == 'r' then state.reader = readers.new { read = function() return handle:read(1) end } end
  states[file] = state
  return file
end

function M.type(original, ...)
  local state = states[(...)]
  if state then return state.closed and 'closed file' or 'file' end
  return original(...)
end

function M.close(original, ...)
  local file = ...
  if states[file] then return Pipe.close(file) end
  return original(...)
end

function M.execute(_, command)
  if command == nil then return true end
  if type(command) ~= 'string' then
    error(("bad argument #1 to 'execute' (string expected, got %s)"):format(type(command)), CALLER)
  end
  io.stdout:flush()
  local argv = { '/bin/sh', '-c', command }
  local process = require 'perilune.core.process'
  local handle <close> = process.spawn(argv, nil, nil, 'inherit', 'inherit', 'inherit', owns_session())
  return verdict(handle:wait())
end

return M
