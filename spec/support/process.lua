--- Real processes for functional specs.
---
---     local p = process.start({ process.perilune, 'run', 'app.lua' }, { cwd = dir })
---     local url = p:wait_line 'listen=(%S+)'
---     p:kill 'TERM'
---     assert.equal(0, p:wait())
---
--- Every wait is bounded. After each test whatever still runs is asked to stop with
--- SIGTERM; the test fails if something does not go, leaves children behind, or if a
--- sanitizer had something to say.

local lfs = require 'lfs'
local native = require('perilune.testing').process
local terminals = require('perilune.testing').terminal

local M = {}

--- The source tree; spec/run.lua made it the current folder.
M.root = lfs.currentdir()

---@class spec.Process
---@field pid integer
local Process = {}
Process.__index = Process

local DEFAULT_TIMEOUT = 20
local STOP_TIMEOUT = 12 -- a node may drain for 5 s, and finalizers run under sanitizers

--- Multiplies every timeout, for builds that are slow.
local patience = tonumber(os.getenv 'PERILUNE_SPEC_PATIENCE') or 1
M.patience = patience

local function own_folder()
  local link <close> = assert(io.popen 'readlink /proc/$PPID/exe')
  return link:read('l'):match '^(.*)/'
end

--- The executable under test: of the same build as the runner, unless PERILUNE_BIN names another.
M.perilune = os.getenv 'PERILUNE_BIN' or own_folder() .. '/perilune'

local living = {} -- processes of the running test
local folders = {} -- temporary folders of the running test
local runtime_dir -- of the running test: its local meshes are its own

local function quote(text)
  return "'" .. text:gsub("'", [['\'']]) .. "'"
end

--- A folder that is removed after the test.
---@param files table<string, string>? Name and content of files to create in it.
function M.temp_dir(files)
  local path = native.make_temp_dir()
  folders[#folders + 1] = path
  for name, content in pairs(files or {}) do
    local parent = name:match '^(.*)/'
    if parent then assert(os.execute('mkdir -p ' .. quote(path .. '/' .. parent))) end
    local file <close> = assert(io.open(path .. '/' .. name, 'wb'))
    file:write(content)
  end
  return path
end

M.free_port = native.free_port
M.unique = native.unique
M.now = native.now

--- Does nothing for so many seconds: for what has no other sign of being over.
function M.sleep(seconds) native.poll({}, {}, seconds) end

--- The environment of a child: ours without PERILUNE_*, own folders for local meshes and what is kept, and `changes`.
local function environment(changes)
  runtime_dir = runtime_dir or M.temp_dir()
  local env = {
    XDG_RUNTIME_DIR = runtime_dir,
    XDG_STATE_HOME = runtime_dir .. '/state',
    ASAN_OPTIONS = 'exitcode=99:detect_stack_use_after_return=1',
    LSAN_OPTIONS = 'exitcode=99:suppressions=' .. M.root .. '/spec/support/lsan.supp',
    TSAN_OPTIONS = 'exitcode=99:atexit_sleep_ms=0:suppressions=' .. M.root .. '/spec/support/tsan.supp',
    UBSAN_OPTIONS = 'print_stacktrace=1',
  }
  for name, value in pairs(changes or {}) do env[name] = value end

  local list = {}
  for _, entry in ipairs(native.environment()) do
    local name = entry:match '^[^=]+'
    if not name:find '^PERILUNE_' and env[name] == nil then list[#list + 1] = entry end
  end
  for name, value in pairs(env) do
    if value then list[#list + 1] = name .. '=' .. value end
  end
  return list
end

---@class spec.ProcessOptions
---@field cwd string?
---@field env table<string, string|false>? Added to the environment; false removes.
---@field stdin string|true|nil A text, then the end of file; true keeps the pipe for write(); nil is an empty input.
---@field connection boolean? Its standard input is a socket.
---@field terminal integer? Its standard error is a terminal of so many columns; `collected.terminal` has its text.
---@field at { fd: integer, path: string }? A terminal that it lives at, see spec/support/terminal.lua.

--- Starts a program. One without a slash is looked for on PATH.
---@param argv string[]
---@param options spec.ProcessOptions?
---@return spec.Process
function M.start(argv, options)
  options = options or {}
  local terminal, path
  if options.terminal then
    terminal, path = terminals.open(options.terminal)
    argv = { 'sh', '-c', 'exec "$@" 2>"$0"', path, table.unpack(argv) }
  end
  local pid, pidfd, stdin, stdout, stderr =
    native.spawn(argv, environment(options.env), options.cwd, options.at and options.at.path, options.connection)
  local self = setmetatable({
    pid = pid,
    command = table.concat(argv, ' '),
    pidfd = pidfd,
    stdin = stdin,
    -- nil once at their end
    fds = { stdout = stdout, stderr = stderr, terminal = options.at and options.at.fd or terminal },
    collected = { stdout = '', stderr = '', terminal = '' },
    read_up_to = { stdout = 1, stderr = 1 }, -- by wait_line
    unwritten = '',
  }, Process)
  living[#living + 1] = self

  if type(options.stdin) == 'string' then self:write(options.stdin) end
  if options.stdin ~= true then self:close_stdin() end
  return self
end

---@class spec.ProcessResult
---@field code integer?
---@field signal string?
---@field stdout string
---@field stderr string

--- Starts a program and waits for its end.
---@param argv string[]
---@param options (spec.ProcessOptions | { timeout: number? })?
---@return spec.ProcessResult
function M.run(argv, options)
  local p = M.start(argv, options)
  local code, signal = p:wait(options and options.timeout)
  return { code = code, signal = signal, stdout = p:stdout(), stderr = p:stderr() }
end

--- Runs the perilune of this build with the arguments.
---@param ... string Arguments, and at the end optionally the options.
function M.perilune_run(...)
  local argv = { M.perilune, ... }
  local options = type(argv[#argv]) == 'table' and table.remove(argv) or nil
  return M.run(argv, options)
end

--- What the process was, said and did, for the message of a failure.
function Process:describe()
  return ('%s (pid %d)\n-- stdout --\n%s\n-- stderr --\n%s%s'):format(
    self.command, self.pid, self.collected.stdout, self.collected.stderr, self.collected.terminal)
end

function Process:fail(why, level)
  error(('%s: %s'):format(why, self:describe()), level + 1)
end

local function close_input(self)
  if self.stdin then native.close(self.stdin) end
  self.stdin, self.unwritten = nil, ''
end

local function feed(self)
  local taken = native.write(self.stdin, self.unwritten)
  if not taken then return close_input(self) end -- it stopped reading, as it may
  self.unwritten = self.unwritten:sub(taken + 1)
  if self.unwritten == '' and self.closing_stdin then close_input(self) end
end

--- Waits up to `seconds` for output or the end, and takes what there is.
local function pump(self, seconds)
  local readable, writable = {}, {}
  for _, fd in pairs(self.fds) do readable[#readable + 1] = fd end
  if not self.reaped then readable[#readable + 1] = self.pidfd end
  if self.unwritten ~= '' then writable[1] = self.stdin end

  local ready = native.poll(readable, writable, seconds)
  for name, fd in pairs(self.fds) do
    if ready[fd] then
      local text = native.read(fd)
      self.collected[name] = self.collected[name] .. text
      if text == '' then
        native.close(fd)
        self.fds[name] = nil
      end
    end
  end
  if self.stdin and ready[self.stdin] then feed(self) end
  if not self.reaped and ready[self.pidfd] then
    self.code, self.signal = native.reap(self.pid)
    self.reaped = true
    native.close(self.pidfd)
  end
  return next(ready) ~= nil
end

--- Pumps until `done` returns something, which is returned; false when the time is up.
local function pump_until(self, timeout, done)
  local deadline = native.now() + (timeout or DEFAULT_TIMEOUT) * patience
  while true do
    local found = table.pack(done())
    if found[1] then return table.unpack(found, 1, found.n) end
    local left = deadline - native.now()
    if left <= 0 then return false end
    pump(self, left)
  end
end

--- The text the process wrote so far.
function Process:stdout()
  while pump(self, 0) do end
  return self.collected.stdout
end

function Process:stderr()
  while pump(self, 0) do end
  return self.collected.stderr
end

--- Queues `text` for the process to read; it leaves as the process takes it.
function Process:write(text)
  assert(self.stdin and not self.closing_stdin, 'stdin is closed')
  self.unwritten = self.unwritten .. text
  if text ~= '' then feed(self) end
end

--- Ends its standard input, after what is queued.
function Process:close_stdin()
  self.closing_stdin = true
  if self.unwritten == '' then close_input(self) end
end

--- Closes our end of its 'stdout' or 'stderr', as a reader that went away.
function Process:close_output(name)
  if self.fds[name] then native.close(self.fds[name]) end
  self.fds[name] = nil
end

--- Finds the next line of `stream` that matches, and passes over the lines up to it.
--- Returns its captures, as string.match.
local function next_match(self, stream, pattern)
  local text, from = self.collected[stream], self.read_up_to[stream]
  while true do
    local line, after = text:match('^([^\n]*)\n()', from)
    if not line and not self.fds[stream] and from <= #text then
      line, after = text:sub(from), #text + 1 -- the last one, unfinished
    end
    if not line then return nil end
    if line:find(pattern) then
      self.read_up_to[stream] = after
      return line:match(pattern)
    end
    from = after
  end
end

--- Waits for a line that matches, on either stream unless one is named, and returns
--- its captures (without any: the match). Later waits begin after it.
---@param pattern string
---@param timeout number? Seconds.
---@param stream 'stdout'|'stderr'|nil
---@return string ...
function Process:wait_line(pattern, timeout, stream)
  local streams = stream and { stream } or { 'stdout', 'stderr' }
  local found = table.pack(pump_until(self, timeout, function()
    local open = false
    for _, name in ipairs(streams) do
      open = open or self.fds[name] ~= nil
      local captures = table.pack(next_match(self, name, pattern))
      if captures[1] then return table.unpack(captures, 1, captures.n) end
    end
    if not open then self:fail(("ended without a line '%s'"):format(pattern), 4) end
  end))
  if not found[1] then self:fail(("no line '%s'"):format(pattern), 2) end
  return table.unpack(found, 1, found.n)
end

--- Waits until `done(self)` is true; it is asked again after each output.
---@param done fun(self: spec.Process): any
---@param timeout number?
function Process:wait_until(done, timeout)
  local found = pump_until(self, timeout, function() return done(self) end)
  if not found then self:fail('it did not come to it', 2) end
  return found
end

---@param name string KILL, TERM, INT, HUP, STOP, CONT, …
function Process:kill(name)
  assert(not self.reaped, 'the process has ended')
  native.kill(self.pid, name)
end

--- Waits for its end and the end of its output. Returns the exit code, or nil and the signal.
---@param timeout number?
---@return integer? code, string? signal
function Process:wait(timeout)
  local ended = pump_until(self, timeout, function()
    return self.reaped and not next(self.fds)
  end)
  if not ended then self:fail('did not end', 2) end
  close_input(self)
  return self.code, self.signal
end

--- Whether it has ended; with `seconds`, after output or at most so many.
function Process:ended(seconds)
  if seconds and not self.reaped then pump(self, seconds) end
  while pump(self, 0) do end
  return self.reaped == true
end

--- Whether all of its process group is gone, or goes within `seconds`. Nothing tells of
--- the end of another's child, so this looks every 10 ms.
local function group_gone(pid, seconds)
  local deadline = native.now() + seconds
  while not native.group_gone(pid) do
    if native.now() > deadline then return false end
    native.poll({}, {}, 0.01)
  end
  return true
end

--- Ends a process whatever it does. Returns what was wrong with it, or nil.
local function stop(self)
  local wrong
  if not self:ended() then
    -- It may have been stopped. Not after SIGTERM: that would take back the stop by which a leak
    -- checker looks at a process that ends, and both would wait for ever.
    native.kill(self.pid, 'CONT')
    native.kill(self.pid, 'TERM')
    close_input(self)
    local ended = pump_until(self, STOP_TIMEOUT, function() return self.reaped end)
    if not ended then wrong = 'did not stop on SIGTERM' end
  end
  if not self.reaped or not group_gone(self.pid, 1) then
    wrong = wrong or 'left processes behind'
    native.kill(-self.pid, 'KILL')
    pump_until(self, 5, function() return self.reaped end)
    group_gone(self.pid, 5)
  end
  for name in pairs(self.fds) do self:close_output(name) end
  close_input(self)

  local err = self.collected.stderr .. self.collected.terminal
  if err:find 'Sanitizer' or err:find 'runtime error:' or err:find 'Assertion .* failed' then
    wrong = 'broke a rule of C'
  end
  return wrong
end

--- Ends what the test left running. The runner calls it after each test.
function M.clean_up()
  local running, wrongs = living, {}
  living = {}
  for _, p in ipairs(running) do
    local wrong = stop(p)
    if wrong then wrongs[#wrongs + 1] = wrong .. ': ' .. p:describe() end
  end
  for _, path in ipairs(folders) do os.execute('rm -rf ' .. quote(path)) end
  folders, runtime_dir = {}, nil
  if #wrongs > 0 then error(table.concat(wrongs, '\n'), 0) end
end

return M
