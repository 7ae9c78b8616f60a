--- What the mesh knows of an action, on demand.

local callers = require 'perilune.callers'
local check = require 'perilune.check'
local errors = require 'perilune.core.error'
local guess = require('perilune.core.sys').guess
local nodes = require 'perilune.core.node'

local M = {}

--- Who provides the action, this node or the nearest; raises `NOT_FOUND`, with what may have been meant.
local function provider_of(name, node)
  local nearest, names = nil, {}
  for _, offer in ipairs(nodes.offers()) do
    if offer.name == name then
      local asked = not node or node == offer.node or node == offer.node_name
      local nearer = not nearest or offer.hops < nearest.hops
        or offer.hops == nearest.hops and offer.node < nearest.node
      if asked and nearer then nearest = offer end
    end
    names[#names + 1] = offer.name
  end
  if nearest then return nearest end
  local meant = guess(name, names)
  error(errors.new {
    code = 'NOT_FOUND',
    outcome = 'not_sent',
    action = name,
    message = ("%s provides '%s'%s"):format(node and 'the node does not know that it' or 'no node', name,
      meant and meant ~= name and ("; did you mean '%s'?"):format(meant) or ''),
  }, 0)
end

local DESCRIBE = { node = 'bytes', timeout = 'seconds' }

--- What an action is, as the script said that registered it: asked of the nearest node that provides it.
---
---@param name string
---@param options { node: string?, timeout: number? }? Another node to ask, by id or name.
---@return perilune.Description
function M.describe(name, options)
  check.arg(name, 'bytes', 1, 'mesh.describe')
  options = check.options(options, DESCRIBE, 2, 'mesh.describe')
  nodes.start()
  local offer = provider_of(name, options.node)
  local told = callers.with { node = offer.node, timeout = options.timeout }.call('_perilune.describe', name)
  if type(told) ~= 'table' then
    error(errors.new {
      code = 'PROTOCOL', outcome = 'executed', action = name, node = offer.node,
      message = ('the node answers with what is no description of \'%s\''):format(name),
    }, 0)
  end
  told.node, told.node_name = offer.node, offer.node_name
  return told
end

return M
