--- The mesh around this node: who is there, what they offer, and the links to neighbours.

local callers = require 'perilune.callers'
local check = require 'perilune.check'
local core = require 'perilune.core.node'
local core_call = require 'perilune.core.call'
local core_streams = require 'perilune.core.streams'

local M = {}

local _, _, explain = core_call.caller()

local ACTIONS = { tag = 'string' }

local function has_tag(attributes, tag)
  for _, one in ipairs(type(attributes.tags) == 'table' and attributes.tags or {}) do
    if one == tag then return true end
  end
  return tag == nil
end

--- Every action known in the mesh, by name, with its providers; with `tag`, those that have it.
---
---@param options { tag: string? }?
---@return perilune.Action[]
function M.actions(options)
  options = check.options(options, ACTIONS, 1, 'mesh.actions')
  core.start()
  local by_name, list = {}, {}
  for _, offer in ipairs(core.offers()) do
    local entry, attributes = by_name[offer.name], offer.attributes or {}
    if not entry and has_tag(attributes, options.tag) then
      entry = {
        name = offer.name,
        providers = {},
        description = attributes.description,
        serializer = attributes.serializer,
        tags = attributes.tags,
        timeout = attributes.timeout,
      }
      by_name[offer.name] = entry
      list[#list + 1] = entry
    end
    if entry then
      entry.providers[#entry.providers + 1] = { id = offer.node, name = offer.node_name, hops = offer.hops }
    end
  end
  table.sort(list, function(a, b) return a.name < b.name end)
  for _, entry in ipairs(list) do
    table.sort(entry.providers, function(a, b) return a.id < b.id end)
  end
  return list
end

--- Every known node, this one first.
---
---@return table[] # `id, name, hops, cost, via, actions, draining, leaf, state`, of a worker `worker_of`
function M.nodes()
  core.start()
  local list, by_id = core.nodes(), {}
  for _, node in ipairs(list) do
    node.actions = {}
    by_id[node.id] = node
  end
  for _, offer in ipairs(core.offers()) do
    local node = by_id[offer.node]
    if node then node.actions[#node.actions + 1] = offer.name end
  end
  for _, node in ipairs(list) do
    table.sort(node.actions)
  end
  return list
end

--- The best path to every node that can be reached: its cost in seconds, and the first steps of all paths that
--- are equally good.
---
---@return { id: string, name: string, hops: integer, cost: number, next: string[] }[]
function M.routes()
  core.start()
  return core.routes()
end

--- The streams that are open from and to this node, or pass `through` it, and who waits for whom. `chunks` and `bytes`
--- have passed; `credit` is what may follow before the consumer takes more. `waits_for` is the `consumer`, who has
--- chunks to read; the `producer`, who has none to give; or the `link`; and `waited` for how many seconds.
---
---@return perilune.OpenStream[]
function M.streams()
  core.start()
  return core_streams.streams()
end

--- Waits until some node provides the action. Raises `TIMEOUT` after `timeout` seconds; without one, never.
---
---@param name string
---@param timeout number?
function M.wait(name, timeout)
  check.arg(name, 'bytes', 1, 'mesh.wait')
  check.arg(timeout, '?seconds', 2, 'mesh.wait')
  core.start()
  callers.wait_for(name, timeout, explain)
end

--- The round-trip time to a node, in seconds.
---
---@param node string Id or unique name.
---@param timeout number? Seconds; 10 by default.
---@return number
function M.ping(node, timeout)
  check.arg(node, 'bytes', 1, 'mesh.ping')
  check.arg(timeout, '?seconds', 2, 'mesh.ping')
  core.start()
  return core.ping(node, timeout or 10)
end

local CONNECT = { cost = 'seconds' }

--- Connects to an address and keeps it connected. What the node there provides is known then. With `cost`, in
--- seconds, that is what a path over the link costs, as if the address said it (`?cost=`).
---
---@param url string
---@param options { cost: number? }?
---@return string # the id of the node there
function M.connect(url, options)
  check.arg(url, 'bytes', 1, 'mesh.connect')
  options = check.options(options, CONNECT, 2, 'mesh.connect')
  if options.cost then url = ('%s%scost=%.6f'):format(url, url:find('?', 1, true) and '&' or '?', options.cost) end
  core.start()
  local id = core.connect(url)
  local seen = core.changed()
  while not core.knows(id) do
    seen = core.changed(seen)
  end
  return id
end

--- Keeps the link to a neighbour: when it is lost, it is dialled anew, at an address that the neighbour tells.
---
---@param node string Id or unique name.
function M.keep(node)
  check.arg(node, 'bytes', 1, 'mesh.keep')
  core.start()
  core.keep(node, true)
end

--- Does not keep the link to a neighbour any more. Unless the neighbour keeps it, it goes with its last call.
---
---@param node string Id or unique name.
function M.unkeep(node)
  check.arg(node, 'bytes', 1, 'mesh.unkeep')
  core.start()
  core.keep(node, false)
end

local DISCONNECT = { reason = 'string', allow_reconnect = 'boolean', abort = 'boolean' }

--- Closes the links to a node.
---
---@param node string Id or unique name.
---@param options { reason: string?, allow_reconnect: boolean?, abort: boolean? }?
function M.disconnect(node, options)
  check.arg(node, 'bytes', 1, 'mesh.disconnect')
  options = check.options(options, DISCONNECT, 2, 'mesh.disconnect')
  core.start()
  core.disconnect(node, options.reason, options.allow_reconnect, options.abort)
end

return M
