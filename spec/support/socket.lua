--- Raw connections for functional specs: a stranger on a listener, or a server that is
--- none. Every wait is bounded; what is open is closed after the test.
---
---     local s = socket.connect('tcp://127.0.0.1:4100')
---     s:send 'garbage'
---     assert.equal('', s:receive_all())

local testing = require 'perilune.testing'
local native, io_calls = testing.link, testing.process

local M = {}

local TIMEOUT = 10 * (tonumber(os.getenv 'PERILUNE_SPEC_PATIENCE') or 1)

---@class spec.Socket
local Socket = {}
Socket.__index = Socket

local open = {}

local function new(fd)
  local self = setmetatable({ fd = fd }, Socket)
  open[#open + 1] = self
  return self
end

--- Connects to a `tcp://` address of loopback or a `unix://` one.
---@param url string
---@return spec.Socket
function M.connect(url)
  local path = url:match '^unix://(.*)$'
  if path then return new(native.socket_connect_unix(path)) end
  return new(native.socket_connect(tonumber(url:match '^tcp://.*:(%d+)$')))
end

--- Listens on a free port. Returns the listener and its URL.
function M.listen()
  local fd, port = native.socket_listen()
  return new(fd), 'tcp://127.0.0.1:' .. port
end

--- Listens on a Unix socket.
function M.listen_unix(path)
  return new(native.socket_unix(path, 128))
end

local limit_before

--- How many connections of `wanted` this process may open beside what it has; until the end of the test.
function M.allow(wanted)
  local file <close> = assert(io.open '/proc/self/limits')
  local soft, hard = file:read('a'):match 'Max open files +(%w+) +(%w+)'
  local most = tonumber(hard) or math.huge
  local need = native.next_descriptor() + wanted + 50 -- and processes
  if tonumber(soft) and tonumber(soft) < need then
    local before = native.limit_descriptors(math.min(need, most))
    limit_before = limit_before or before
  end
  return math.min(wanted, wanted + most - need)
end

local function wait(self, reading, timeout)
  local set = { self.fd }
  local ready = io_calls.poll(reading and set or {}, reading and {} or set, timeout or TIMEOUT)
  return ready[self.fd] == true
end

--- Whether somebody has come that is not accepted yet, or bytes have.
function Socket:waits() return wait(self, true, 0) end

---@return spec.Socket
function Socket:accept(timeout)
  assert(wait(self, true, timeout), 'nobody connected')
  return new(native.socket_accept(self.fd))
end

--- Sends all of it. Returns false when the other end is gone.
function Socket:send(bytes)
  while #bytes > 0 do
    assert(wait(self, false), 'the other end does not read')
    local taken = io_calls.write(self.fd, bytes)
    if not taken then return false end
    bytes = bytes:sub(taken + 1)
  end
  return true
end

--- What arrives next; '' when the other end closed; nil when nothing comes in time.
function Socket:receive(timeout)
  if not wait(self, true, timeout) then return nil end
  return io_calls.read(self.fd)
end

--- Everything until the other end closes, which it must within `timeout`.
function Socket:receive_all(timeout)
  local deadline = io_calls.now() + (timeout or TIMEOUT)
  local parts = {}
  while true do
    local bytes = self:receive(deadline - io_calls.now())
    assert(bytes, 'the other end does not close')
    if bytes == '' then return table.concat(parts) end
    parts[#parts + 1] = bytes
  end
end

--- Half-close: nothing more comes from here.
function Socket:finish()
  native.socket_shutdown(self.fd)
end

function Socket:close()
  if self.fd then native.socket_close(self.fd) end
  self.fd = nil
end

--- Closes with a reset instead of an end.
function Socket:reset()
  native.socket_close(self.fd, true)
  self.fd = nil
end

--- Closes what the test left open. The runner calls it after each test.
function M.clean_up()
  for _, s in ipairs(open) do s:close() end
  open = {}
  if limit_before then native.limit_descriptors(limit_before) end
  limit_before = nil
end

return M
