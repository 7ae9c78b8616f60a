--- What the nodes of the mesh remember of a trace, and how people read it. Nodes tell durations, each by its own clock:
--- what a link took is what a call lasted at one end of it, less what it lasted at the other.

local client = require 'perilune.cli.client'
local columns = require 'perilune.cli.columns'
local crypto = require 'perilune.crypto'
local mesh = require 'perilune'
local targets = require 'perilune.cli.targets'

local M = {}

--- A trace that nodes are asked to remember, as `traceparent`, and its id.
---
---@return string parent
---@return string id
function M.begin()
  local id = crypto.hex.encode(crypto.random(16))
  return ('00-%s-%s-01'):format(id, crypto.hex.encode(crypto.random(8))), id
end

local function names_of_all()
  local names = {}
  for _, node in ipairs(mesh.nodes()) do names[node.id] = node.name end
  return names
end

--- What nodes remember. Those that have left are not asked, and who does not answer is told of.
local function ask(ids, names, id)
  local tasks = {}
  for i, node in ipairs(ids) do
    tasks[i] = mesh.spawn(function() return table.pack(pcall(targets.ask, node, 'trace', id)) end)
  end
  local answers = {}
  for i, result in ipairs(mesh.all(tasks)) do
    if result[1] then answers[ids[i]] = result[2]
    else client.complain(('%s: %s'):format(names[ids[i]], tostring(result[2]))) end
  end
  return answers
end

local AT_ONCE = 32

--- Everything that is remembered of a trace by these nodes, and by those that its calls came to.
---
---@param start string[] Ids of nodes.
---@param id string Of the trace.
---@return table[] # as nodes tell it, with the id of the node in `node` and its name in `name`
function M.collect(start, id)
  local names, seen, due, calls = names_of_all(), {}, {}, {}
  local function want(node)
    if node and names[node] and not seen[node] then seen[node], due[#due + 1] = true, node end
  end
  for _, node in ipairs(start) do want(node) end
  while #due > 0 do
    local round = table.move(due, 1, math.min(#due, AT_ONCE), 1, {})
    due = table.move(due, #round + 1, #due, 1, {})
    local answers = ask(round, names, id)
    for _, node in ipairs(round) do
      for _, call in ipairs(answers[node] and answers[node].calls or {}) do
        call.node, call.name = node, names[node]
        calls[#calls + 1] = call
        want(call.caller)
        want(call.peer)
        want(call.next)
      end
    end
  end
  return calls
end

--- Puts what the nodes on the path of one call saw of it in the order of the path.
local function in_order(seen)
  local path, by_node, at = {}, {}, nil
  for _, one in ipairs(seen) do
    if one.side == 'outgoing' then path[1], at = one, one.peer
    elseif one.side == 'forwarded' then by_node[one.node] = one end
  end
  if not at then -- its caller has left
    for _, one in pairs(by_node) do
      if one.peer == one.caller then at = one.node end
    end
  end
  while at and by_node[at] do
    path[#path + 1], at, by_node[at] = by_node[at], by_node[at].next, nil
  end
  for _, one in ipairs(seen) do
    if by_node[one.node] == one then path[#path + 1] = one end -- behind one that did not answer
  end
  for _, one in ipairs(seen) do
    if one.side == 'incoming' or one.side == 'local' then path[#path + 1] = one end
  end
  return path
end

--- Calls by their ids, and those that were made in none that is known.
local function arrange(calls)
  local by_id, order = {}, {}
  for _, one in ipairs(calls) do
    local call = by_id[one.call]
    if not call then
      call = { seen = {}, inner = {}, parent = one.parent }
      by_id[one.call], order[#order + 1] = call, call
    end
    call.seen[#call.seen + 1] = one
  end
  local roots = {}
  for _, call in ipairs(order) do
    call.path = in_order(call.seen)
    local outer = by_id[call.parent]
    local list = outer and outer ~= call and outer.inner or roots
    list[#list + 1] = call
  end
  for _, call in ipairs(order) do -- begun first, by the one clock of where they were made
    table.sort(call.inner, function(a, b) return a.path[1].ago > b.path[1].ago end)
  end
  return roots
end

local function duration(seconds)
  if not seconds then return '-' end
  if seconds < 0.001 then return ('%d us'):format(seconds * 1e6 // 1) end
  if seconds < 1 then return ('%.2f ms'):format(seconds * 1e3) end
  return ('%.2f s'):format(seconds)
end

local ROLES = { outgoing = 'caller', forwarded = 'relay', incoming = 'callee', ['local'] = 'callee' }

local function row(one, before, depth)
  local role, ended = ROLES[one.side], one.duration ~= nil
  local callee = role == 'callee'
  local wire = ended and before and before.duration and math.max(0, before.duration - one.duration)
  local run = ended and (callee and one.duration - one.queued or one.duration)
  return {
    ('  '):rep(depth) .. role .. ' ' .. one.action, one.name,
    duration(ended and role ~= 'caller' and one.queued), duration(ended and callee and one.cpu),
    ended and duration(run) or 'under way', duration(wire), one.code or '',
  }
end

local DEPTH_MAX = 64 -- as deep as calls may be nested

local function add(rows, call, depth)
  for i, one in ipairs(call.path) do rows[#rows + 1] = row(one, call.path[i - 1], depth + i - 1) end
  if depth > DEPTH_MAX then return end
  for _, inner in ipairs(call.inner) do add(rows, inner, depth + #call.path) end
end

--- A table for people.
---
---@param calls table[] As of `collect`.
---@return string
function M.format(calls)
  local rows = {}
  for _, call in ipairs(arrange(calls)) do add(rows, call, 0) end
  return columns.format({ 'CALL', 'NODE', 'QUEUE', 'CPU', 'RUN', 'WIRE', '' }, rows)
end

return M
