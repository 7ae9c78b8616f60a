--- Programs that run at a terminal of their own, whose keys a spec presses and whose screen it reads.
---
---     local t = terminal.start({ process.perilune, 'repl' }, { columns = 80, rows = 24 })
---     t:wait_for '> '
---     t:type '1 + 1'
---     t:press 'enter'
---     t:wait_for '^2'
---     t:press 'ctrl-d'
---     assert.equal(0, t:wait())
---     t:assert_restored()
---
--- Waits are bounded, and what a test leaves running is ended after it, as with spec/support/process.lua, which is
--- behind this: `t.process` is the process.

local native = require('perilune.testing').terminal
local process = require 'spec.support.process'
local screens = require 'spec.support.screen'
local system = require('perilune.testing').process

local M = {}

local living = {}

---@class spec.Terminal
---@field process spec.Process
---@field screen spec.Screen
---@field package fd integer
---@field package seen integer Bytes that the screen has had.
---@field package before table The modes at the start.
local Terminal = {}
Terminal.__index = Terminal

local keys = {
  enter = '\r', tab = '\t', escape = '\27', backspace = '\127', delete = '\27[3~', space = ' ',
  up = '\27[A', down = '\27[B', right = '\27[C', left = '\27[D', home = '\27[H', ['end'] = '\27[F',
  ['page-up'] = '\27[5~', ['page-down'] = '\27[6~', ['shift-tab'] = '\27[Z',
  ['ctrl-left'] = '\27[1;5D', ['ctrl-right'] = '\27[1;5C',
}

--- The bytes of a key: one of the above, `ctrl-a`, `alt-b`, or the character itself.
local function bytes_of(key)
  local letter = key:match '^ctrl%-(.)$'
  if letter then return string.char(letter:upper():byte() & 31) end
  local after_escape = key:match '^alt%-(.+)$'
  if after_escape then return '\27' .. bytes_of(after_escape) end
  return keys[key] or (#key == 1 or utf8.len(key) == 1) and key or error('no key ' .. key, 3)
end

---@class spec.TerminalOptions
---@field columns integer? Default 80.
---@field rows integer? Default 24.
---@field cwd string?
---@field env table<string, string|false>?

--- Starts a program at a terminal of its own, which is its controlling one.
---
---@param argv string[]
---@param options spec.TerminalOptions?
---@return spec.Terminal
function M.start(argv, options)
  options = options or {}
  local columns, rows = options.columns or 80, options.rows or 24
  local fd, path = native.open(columns, rows)
  local self = setmetatable({
    fd = fd, screen = screens.new(columns, rows), seen = 0, before = native.modes(fd),
  }, Terminal)
  living[#living + 1] = self
  local env = { TERM = 'xterm-256color' }
  for name, value in pairs(options.env or {}) do env[name] = value end
  self.process = process.start(argv, { cwd = options.cwd, env = env, at = { fd = native.duplicate(fd), path = path } })
  return self
end

--- Shows what has come meanwhile.
local function update(self)
  local text = self.process.collected.terminal
  self.screen:write(text:sub(self.seen + 1))
  self.seen = #text
end

--- All that was written, as bytes.
---@return string
function Terminal:output()
  self.process:stdout() -- takes what there is
  update(self)
  return self.process.collected.terminal
end

--- What the screen shows now.
---@return string
function Terminal:text()
  self:output()
  return self.screen:text()
end

local function fail(self, why, level)
  update(self)
  self.process:fail(('%s\n-- screen --\n%s\n--'):format(why, self.screen:text()), level + 1)
end

--- Waits until the screen has a line that matches (`^` and `$` are the ends of a line), and returns the captures.
---
---@param pattern string
---@param timeout number? Seconds.
---@return string ...
function Terminal:wait_for(pattern, timeout)
  local found
  local ok = pcall(self.process.wait_until, self.process, function()
    update(self)
    for row = 1, self.screen.rows do
      found = table.pack(self.screen:line(row):match(pattern))
      if found[1] then return true end
    end
  end, timeout)
  if not ok then fail(self, ("no '%s'"):format(pattern), 2) end
  return table.unpack(found, 1, found.n)
end

--- Waits until `done(screen)` is true; it is asked again after each output.
---
---@param done fun(screen: spec.Screen): any
---@param timeout number?
function Terminal:wait_until(done, timeout)
  local ok = pcall(self.process.wait_until, self.process, function()
    update(self)
    return done(self.screen)
  end, timeout)
  if not ok then fail(self, 'it did not come to it', 2) end
end

--- Sends bytes as they are, as fast as they are taken.
---
---@param bytes string
function Terminal:type(bytes)
  local left = bytes
  self.process:wait_until(function()
    left = left:sub(system.write(self.fd, left) + 1)
    if left ~= '' then system.poll({}, { self.fd }, 0.01) end
    return left == ''
  end)
end

--- Presses keys, one after the other: 'enter', 'ctrl-a', 'left', 'x'.
---
---@param ... string
function Terminal:press(...)
  for _, key in ipairs { ... } do self:type(bytes_of(key)) end
end

--- Gives it another size; the program is told.
---
---@param columns integer
---@param rows integer
function Terminal:resize(columns, rows)
  self:output()
  self.screen:resize(columns, rows)
  native.resize(self.fd, columns, rows)
end

--- The flags that the program has set: those of termios by number, and `canonical`, `echo` and `signals`.
---@return table
function Terminal:modes() return native.modes(self.fd) end

--- That the terminal is as the program found it.
function Terminal:assert_restored()
  local wrong = {}
  local now = self:modes()
  for name, value in pairs(self.before) do
    if now[name] ~= value then wrong[#wrong + 1] = name .. ' is changed' end
  end
  self:output()
  for mode in pairs(self.screen.modes) do
    if mode ~= '25' then wrong[#wrong + 1] = 'mode ' .. mode .. ' is on' end
  end
  if not self.screen.cursor then wrong[#wrong + 1] = 'the cursor is hidden' end
  if #wrong > 0 then fail(self, 'the terminal is not restored: ' .. table.concat(wrong, ', '), 2) end
end

--- Whoever sits there goes away: the program is hung up.
function Terminal:hang_up()
  self.process:close_output 'terminal'
  if self.fd then system.close(self.fd) end
  self.fd = nil
end

--- Waits for the end of the program. Returns its exit code, or nil and the signal.
---
---@param timeout number?
---@return integer? code, string? signal
function Terminal:wait(timeout)
  local code, signal = self.process:wait(timeout)
  update(self)
  return code, signal
end

--- Closes the terminals of a test. The runner calls it after each, when the processes have ended.
function M.clean_up()
  for _, t in ipairs(living) do
    if t.fd then system.close(t.fd) end
  end
  living = {}
end

return M
