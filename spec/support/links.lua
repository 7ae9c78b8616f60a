--- A loop with links for specs, and waiting that is bounded.
---
---     local net = links.new()            -- real time and sockets; links.new 'virtual' without
---     local client, server = net:connect 'tcp://127.0.0.1:0'
---     client.link:write 'hi'
---     net:wait(function() return server:text() == 'hi' end, 'the greeting')
---     net:finish()                       -- closes everything, fails on leaks

local testing = require('perilune.testing')
local link, mem, now = testing.link, testing.base.mem, testing.process.now

local M = {}

local PATIENCE = 5 * (tonumber(os.getenv 'PERILUNE_SPEC_PATIENCE') or 1)

---@class spec.End One end of a link, with what happened to it.
---@field link any
---@field text string Everything received.
---@field events string[] Names of the callbacks, bytes excepted.
---@field closed string? The code of on_close.
---@field detail string?
local End = {}
End.__index = End

function End:note(event)
  self.events[#self.events + 1] = event
  local hook = self.hooks[event]
  if hook then return hook(self) end
end

--- The callbacks of this end. `hooks` of the same names run after the bookkeeping.
function End:ops()
  return {
    open = function()
      self:note 'open'
    end,
    bytes = function(_, text)
      if self.hooks.bytes then return self.hooks.bytes(self, text) end
      self.received[#self.received + 1] = text
      self.count = self.count + #text
    end,
    drained = function()
      self:note 'drained'
    end,
    close = function(_, code, detail)
      self.closed, self.detail = code, detail
      self:note 'close'
    end,
  }
end

function End:text()
  return table.concat(self.received)
end

local function new_end(hooks)
  return setmetatable({ events = {}, received = {}, count = 0, hooks = hooks or {} }, End)
end

---@class spec.Net
local Net = {}
Net.__index = Net

function M.new(kind)
  local live = mem.live()
  return setmetatable({ world = link.world(kind), virtual = kind ~= nil, live = live, ends = {}, listeners = {} }, Net)
end

--- Runs the loop until `done()`; an error after PATIENCE, with `what`.
function Net:wait(done, what)
  local deadline = now() + PATIENCE
  while not done() do
    self.world:step(self.virtual and 0.001 or 0.05)
    if now() > deadline then error('waited in vain for ' .. what, 2) end
  end
end

--- Waits for the end of a link; returns its code and detail.
---@param e spec.End
function Net:wait_closed(e)
  self:wait(function() return e.closed end, 'the end of a link')
  return e.closed, e.detail
end

--- Waits until a dialled link is open.
---@param e spec.End
function Net:wait_open(e)
  self:wait(function() return #e.events > 0 end, 'a connection')
  if e.events[1] ~= 'open' or #e.events > 1 then error('it came to: ' .. table.concat(e.events, ' '), 2) end
end

--- Lets the loop run for so long.
function Net:run(seconds)
  if self.virtual then return self.world:step(seconds) end
  local deadline = now() + seconds
  while now() < deadline do self.world:step(math.max(0.001, deadline - now())) end
end

function Net:adopt(e, new_link)
  e.link = new_link
  self.ends[#self.ends + 1] = e
  return e
end

--- A listener that starts what it accepts with `hooks` and collects it in `accepted`. nil, code, detail.
function Net:listen(url, hooks)
  local l = { accepted = {}, errors = {} }
  local listener, code, detail = self.world:listen(url, {
    accept = function(_, new_link)
      local e = self:adopt(new_end(hooks), new_link)
      l.accepted[#l.accepted + 1] = e
      if hooks and hooks.accept then return hooks.accept(e) end
      new_link:start(e:ops())
    end,
    error = function(_, err, text)
      l.errors[#l.errors + 1] = { code = err, detail = text }
    end,
  })
  if not listener then return nil, code, detail end
  l.listener = listener
  l.url = listener:url()
  l.port = tonumber(l.url:match ':(%d+)$')
  function l.close()
    l.gone = true
    listener:close()
  end
  self.listeners[#self.listeners + 1] = l
  return l
end

function Net:dial(url, hooks)
  local e = new_end(hooks)
  local new_link, code = self.world:dial(url, e:ops())
  if not new_link then return nil, code end
  return self:adopt(e, new_link)
end

--- A listener at `url` and a link to it: the dialled end, the accepted one, the listener.
function Net:connect(url, client_hooks, server_hooks)
  if url == 'pair' then
    local a, b = self.world:pair()
    local client, server = self:adopt(new_end(client_hooks), a), self:adopt(new_end(server_hooks), b)
    a:start(client:ops())
    b:start(server:ops())
    return client, server
  end
  local l = assert(self:listen(url, server_hooks))
  local client = assert(self:dial(l.url, client_hooks))
  self:wait(function() return client.closed or (client.events[1] == 'open' and #l.accepted > 0) end, 'a connection')
  return client, l.accepted[1], l
end

--- Ends whatever is left. Links, memory and the loop must be gone afterwards.
function Net:finish()
  for _, l in ipairs(self.listeners) do
    if not l.gone then l:close() end
  end
  for _, e in ipairs(self.ends) do
    if e.link:is_open() then e.link:abort() end
  end
  self:wait(function()
    for _, e in ipairs(self.ends) do
      if e.link:is_open() then return false end
    end
    return true
  end, 'the end of all links')
  self:run(0.01)
  self.world:free()
  for _, e in ipairs(self.ends) do e.link:kept() end
  assert(mem.live() == self.live, 'memory was not given back')
end

return M
