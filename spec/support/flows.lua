--- A world of flows for unit specs, and what is told of the frames that it wrote.

local busted = require 'busted'
local assert = require 'luassert'
local testing = require 'perilune.testing'
local flow, mem = testing.flow, testing.base.mem

local M = {}

--- A group of specs with a new `over.world` each, which must leave no memory behind.
---
---@param text string
---@param body fun(over: { world: userdata })
function M.describe(text, body)
  busted.describe(text, function()
    local over, live = {}, nil

    busted.before_each(function()
      live = mem.live()
      over.world = flow.world()
      over.world:frames()
    end)

    busted.after_each(function()
      over.world:free()
      over.world = nil
      collectgarbage()
      assert.equal(live, mem.live())
    end)

    body(over)
  end)
end

--- The types of frames, in order.
function M.types(frames)
  local list = {}
  for i, f in ipairs(frames) do list[i] = f.type end
  return list
end

--- What the frames of one label carry, together.
function M.payload(frames, label)
  local parts = {}
  for _, f in ipairs(frames) do
    if f.label == label then parts[#parts + 1] = f.body end
  end
  return table.concat(parts)
end

return M
