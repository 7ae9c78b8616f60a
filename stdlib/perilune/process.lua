--- Child processes. A task that is cancelled takes the processes it started with it: SIGTERM, and SIGKILL for what
--- is left after `cleanup_grace`. They run in a session of their own, so that their descendants go too.

local core = require 'perilune.core.process'
local check = require 'perilune.check'
local readers = require 'perilune.reader'

local M = {}

local OUTPUT_MAX = 16 * 1024 * 1024

local signals = { HUP = 1, INT = 2, QUIT = 3, KILL = 9, USR1 = 10, USR2 = 12, TERM = 15, CONT = 18, STOP = 19 }

---@alias perilune.Command string|string[]|{ cmd: string, args: string[]? }

--- The argument vector of a command; misuse is reported at the caller's caller.
local function arguments(command, name)
  local argv
  if type(command) == 'string' then
    argv = { command }
  elseif type(command) == 'table' and command.cmd ~= nil then
    argv = table.move(type(command.args) == 'table' and command.args or {}, 1, #(command.args or {}), 2,
      { command.cmd })
  elseif type(command) == 'table' then
    argv = table.move(command, 1, #command, 1, {})
  end
  if not argv or #argv == 0 then
    error(("bad argument #1 to '%s' (a command and its arguments expected)"):format(name), 3)
  end
  for i, word in ipairs(argv) do
    if math.type(word) == 'integer' then argv[i] = tostring(word) end
    if type(argv[i]) ~= 'string' or argv[i]:find('\0', 1, true) then
      error(("bad argument #1 to '%s' (word %d is not a string without NUL)"):format(name, i), 3)
    end
  end
  return argv
end

--- The environment of a child: ours, changed by `changes` (false removes), or only that.
local function environment(changes, clear, name)
  if not changes and not clear then return nil end
  local variables = clear and {} or core.environment()
  for key, value in pairs(changes or {}) do
    if type(key) ~= 'string' or key == '' or key:find '[=\0]' then
      error(("option 'env' of %s: bad name '%s'"):format(name, tostring(key)), 3)
    end
    local is_text = type(value) == 'number' or type(value) == 'string' and not value:find('\0', 1, true)
    if not is_text and value ~= false then
      error(("option 'env' of %s: '%s' is not a string"):format(name, key), 3)
    end
    variables[key] = value or nil
  end
  local list = {}
  for key, value in pairs(variables) do list[#list + 1] = key .. '=' .. value end
  table.sort(list)
  return list
end

local function streams(options, name)
  local kinds = {}
  for i, stream in ipairs { 'stdin', 'stdout', 'stderr' } do
    local kind = options[stream] or 'pipe'
    if kind ~= 'pipe' and kind ~= 'inherit' and kind ~= 'null' then
      error(("option '%s' of %s: 'pipe', 'inherit' or 'null' expected"):format(stream, name), 3)
    end
    kinds[i] = kind
  end
  return table.unpack(kinds)
end

---@class perilune.process.Input
---@field package handle userdata
local Input = {}
Input.__index = Input

--- Waits until the process, or the pipe to it, has taken the bytes.
---
---@param ... string|number
---@return perilune.process.Input self
function Input:write(...)
  local bytes = check.join('write', ...)
  if bytes ~= '' then self.handle:write(bytes) end
  return self
end

--- The process reads the end of its input.
function Input:close()
  self.handle:finish()
end

---@class perilune.process.Output
---@field package reader perilune.Reader
local Output = {}
Output.__index = Output

--- Reads as the files of Lua do.
---
---@param ... string|integer
---@return string|number|nil ...
function Output:read(...)
  readers.check('read', 2, ...)
  return self.reader:read(...)
end

---@param ... string|integer
---@return fun(): string|number|nil ...
function Output:lines(...)
  readers.check('lines', 2, ...)
  return self.reader:lines(...)
end

--- Iterates over the output in pieces as they come.
---
---@return fun(): string?
function Output:chunks()
  return function() return self.reader:chunk() end
end

local function output(handle, stream)
  local source = { read = function() return handle:read(stream) end }
  return setmetatable({ reader = readers.new(source) }, Output)
end

---@class perilune.Process
---@field pid integer
---@field stdin perilune.process.Input?
---@field stdout perilune.process.Output?
---@field stderr perilune.process.Output?
---@field package handle userdata
local Process = {}
Process.__index = Process
Process.__name = 'perilune.Process'

--- Waits for the end. If the wait is cancelled or timed out, the process is ended.
---
---@return integer? code Nil when a signal ended it.
---@return integer? signal
function Process:wait()
  return self.handle:wait()
end

--- Sends a signal to the process and its descendants; false when it has ended already.
---
---@param signal string|integer|nil A name such as `'TERM'` (default), or a number.
---@return boolean
function Process:kill(signal)
  signal = signal or 'TERM'
  local number = signals[signal] or math.tointeger(signal)
  if not number then error(("bad argument #1 to 'kill' (unknown signal '%s')"):format(tostring(signal)), 2) end
  return self.handle:kill(number)
end

--- Ends it if it still runs, and closes its pipes.
function Process:close()
  self.handle:close()
end

Process.__close = Process.close

local spawn_options = {
  env = '?table', clear_env = 'boolean', cwd = 'path', stdin = 'string', stdout = 'string', stderr = 'string',
}

---@class perilune.process.SpawnOptions
---@field env table<string, string|false>? Changes to the environment.
---@field clear_env boolean? Begin with an empty one.
---@field cwd string?
---@field stdin 'pipe'|'inherit'|'null'|nil
---@field stdout 'pipe'|'inherit'|'null'|nil
---@field stderr 'pipe'|'inherit'|'null'|nil

--- Starts a process and returns while it runs. Its pipes are `stdin`, `stdout` and `stderr`.
---
---@param command perilune.Command
---@param options perilune.process.SpawnOptions?
---@return perilune.Process
function M.spawn(command, options)
  local argv = arguments(command, 'process.spawn')
  options = check.options(options, spawn_options, 2, 'process.spawn')
  local env = environment(options.env, options.clear_env, 'process.spawn')
  local stdin, stdout, stderr = streams(options, 'process.spawn')
  local handle = core.spawn(argv, env, options.cwd, stdin, stdout, stderr, true)
  return setmetatable({
    handle = handle,
    pid = handle:pid(),
    stdin = stdin == 'pipe' and setmetatable({ handle = handle }, Input) or nil,
    stdout = stdout == 'pipe' and output(handle, 1) or nil,
    stderr = stderr == 'pipe' and output(handle, 2) or nil,
  }, Process)
end

---@class perilune.process.RunOptions
---@field stdin string? What it reads; nothing by default.
---@field env table<string, string|false>?
---@field clear_env boolean?
---@field cwd string?
---@field timeout number? Seconds, after which it is ended and `TIMEOUT` raised.
---@field max_output integer? Bytes of each stream (16 MiB), beyond which it is ended and `TOO_LARGE` raised.

---@class perilune.process.Result
---@field code integer? Nil when a signal ended it.
---@field signal integer?
---@field stdout string
---@field stderr string

--- Runs a process to its end. A code other than 0 is a result, not an error.
---
---@param command perilune.Command
---@param options perilune.process.RunOptions?
---@return perilune.process.Result
function M.run(command, options)
  local argv = arguments(command, 'process.run')
  options = check.options(options, {
    stdin = 'bytes', env = 'table', clear_env = 'boolean', cwd = 'path', timeout = 'number', max_output = 'integer',
  }, 2, 'process.run')
  local timeout, max = options.timeout, options.max_output or OUTPUT_MAX
  if timeout and (timeout <= 0 or timeout ~= timeout) then error("option 'timeout' of process.run: not positive", 2) end
  if max < 0 then error("option 'max_output' of process.run: negative", 2) end
  local env = environment(options.env, options.clear_env, 'process.run')
  local input = options.stdin and 'pipe' or 'null'
  local handle <close> = core.spawn(argv, env, options.cwd, input, 'pipe', 'pipe', true)
  local code, signal, stdout, stderr = handle:run(options.stdin, max, timeout)
  return { code = code, signal = signal, stdout = stdout, stderr = stderr }
end


return M
