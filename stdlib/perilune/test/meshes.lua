--- Meshes of tests: mesh.sim with a look at what the nodes have left open, and an end with the test.

local simulate = require 'perilune.sim'

local M = {}

local SETTLING = 5 -- virtual seconds that what was cancelled has to end
local LOOK = 0.1

local MARK = "return require('perilune.test.leaks').mark()"
local FIND = "return require('perilune.test.leaks').find(...)"

local open, opened = {}, 0 -- number -> net

--- What the nodes have open beyond their marks, in words.
local function left_in(net, marks)
  local list = {}
  for _, node in ipairs(net.nodes) do
    if marks[node] and node:state() == 'ready' then
      for _, text in ipairs(node:eval(FIND, marks[node])) do list[#list + 1] = ('%s: %s'):format(node.name, text) end
    end
  end
  return list
end

local function check(net, marks)
  local last = net:now() + SETTLING
  while true do
    local left = left_in(net, marks)
    if #left == 0 then return end
    if net:now() >= last then error('left open in the mesh: ' .. table.concat(left, '; '), 0) end
    net:advance(LOOK)
  end
end

--- Opens a mesh as mesh.sim does.
---
---@param options table
---@return perilune.sim.Net
function M.open(options)
  local sim, marks = {}, {}
  for key, value in pairs(options) do sim[key] = value end
  sim.leaks = nil
  local net = simulate(sim)
  opened = opened + 1
  open[opened] = net
  if options.leaks then return net end
  local function mark(node)
    if node:state() == 'ready' then marks[node] = node:eval(MARK) end
  end
  for _, node in ipairs(net.nodes) do mark(node) end
  rawset(net, 'on_node', mark)
  rawset(net, 'before_end', function() check(net, marks) end)
  return net
end

--- For finish and drop: those that are opened from now on.
function M.mark() return opened end

--- Takes those off the list that were opened after the mark, the last first.
local function take(mark)
  local nets = {}
  for number = opened, mark + 1, -1 do
    nets[#nets + 1] = open[number]
    open[number] = nil
  end
  return nets
end

--- Ends those that were opened after the mark; the first that has something left raises, when all are over.
function M.finish(mark)
  local ok, err = true, nil
  for _, net in ipairs(take(mark)) do
    local fine, why = pcall(net.finish, net)
    if ok and not fine then ok, err = false, why end
  end
  if not ok then error(err, 0) end
end

--- Ends those that were opened after the mark, whatever they have left.
function M.drop(mark)
  for _, net in ipairs(take(mark)) do net:drop() end
end

return M
