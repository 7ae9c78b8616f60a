--- The nodes that a command asks for what they serve themselves: the one that was named, or all of the mesh.

local client = require 'perilune.cli.client'
local mesh = require 'perilune'

local M = {}

local TIMEOUT = 5 -- seconds for one answer: it needs no script
local AT_ONCE = 32

--- Asks a node; raises what it answers.
---
---@param node string Id or unique name.
---@param what string As `ps`.
function M.ask(node, what, ...)
  return mesh.with { node = node, timeout = TIMEOUT }.call('_perilune.' .. what, ...)
end

local function by_name(a, b) return a.name ~= b.name and a.name < b.name or a.name == b.name and a.id < b.id end

--- By name, and nodes of one name by id.
---
---@param nodes table[]
---@return table[] nodes
function M.sorted(nodes)
  table.sort(nodes, by_name)
  return nodes
end

--- The node of that name with its workers, or all others of the mesh by name; as `{ id, name, leaf }`.
---
---@param word string?
---@return table[]
function M.of(word)
  local others = client.join()
  if word then
    local found = {}
    for _, node in ipairs(others) do
      if node.id == word or node.name == word then found[#found + 1] = node end
    end
    if #found ~= 1 then return { { id = word, name = word } } end -- the call says what is wrong with a name
    local host = found[1].id
    for _, node in ipairs(others) do
      if node.worker_of == host then found[#found + 1] = node end
    end
    others = found
  end
  return M.sorted(others)
end

--- A client that has ended meanwhile is no failure.
local function has_left(node, err)
  return node.leaf and (err.code == 'NO_ROUTE' or err.code == 'PEER_LOST' or err.code == 'NOT_FOUND')
end

--- Asks all of them; what each answers, or why it does not, by their places. Neither: a client that has left.
---
---@param nodes table[]
---@param timeout number? Seconds for each; default 5.
---@param what string
---@return table<integer, any> answers
---@return table<integer, any> failures
function M.gather(nodes, timeout, what, ...)
  local answers, failures, at = {}, {}, 0
  local args = table.pack(...)
  local function ask(node)
    local to = mesh.with { node = node, timeout = timeout or TIMEOUT }
    return to.call('_perilune.' .. what, table.unpack(args, 1, args.n))
  end
  local function work()
    while at < #nodes do
      at = at + 1
      local i = at
      local ok, result = pcall(ask, nodes[i].id)
      if ok then answers[i] = result elseif not has_left(nodes[i], result) then failures[i] = result end
    end
  end
  local tasks = {}
  for i = 1, math.min(AT_ONCE, #nodes) do tasks[i] = mesh.spawn(work) end
  mesh.all(tasks)
  return answers, failures
end

--- Asks all of them. What a node does not answer is told to the user, and the command fails in the end.
---
---@param nodes table[]
---@param what string
---@return { node: table, answer: any }[] # of those that answered, in their order
---@return boolean whole # all have
function M.ask_all(nodes, what, ...)
  if #nodes == 1 then return { { node = nodes[1], answer = M.ask(nodes[1].id, what, ...) } }, true end
  local answers, failures = M.gather(nodes, nil, what, ...)
  local list = {}
  for i, node in ipairs(nodes) do
    if answers[i] then list[#list + 1] = { node = node, answer = answers[i] } end
    if failures[i] then client.complain(('%s: %s'):format(node.name, tostring(failures[i]))) end
  end
  return list, next(failures) == nil
end

--- The node at which a task runs, if `word` does not say it, and its stack.
---
---@param word string?
---@param id integer
---@return string node, string stack
function M.find_task(word, id)
  local nodes = M.of(word)
  if #nodes == 1 then return nodes[1].id, M.ask(nodes[1].id, 'stack', id) end
  local found, names, stack = nil, {}, nil
  for _, node in ipairs(nodes) do
    local ok, text = pcall(M.ask, node.id, 'stack', id)
    if ok then found, stack, names[#names + 1] = node.id, text, node.name end
  end
  if #names == 0 then return client.fail(('NOT_FOUND: no task %d runs at any node'):format(id)) end
  if #names > 1 then
    client.refuse(('INVALID: a task %d runs at several nodes: %s; name one'):format(id, table.concat(names, ', ')))
  end
  return found, stack
end

--- The id of a task that was given on the command line.
---
---@param text string
---@return integer
function M.task_id(text)
  local id = math.tointeger(tonumber(text))
  if not id or id < 1 then client.refuse(("INVALID: '%s' is not the id of a task"):format(text)) end
  return id
end

--- Seconds for people: 350 ms, 12.5 s, 3 min, 2 h.
---
---@param seconds number
---@return string
function M.duration(seconds)
  if seconds < 1 then return ('%d ms'):format(seconds * 1000 // 1) end
  if seconds < 100 then return ('%.1f s'):format(seconds) end
  if seconds < 6000 then return ('%d min'):format(seconds // 60) end
  return ('%d h'):format(seconds // 3600)
end

return M
