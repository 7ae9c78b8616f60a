--- perilune reload [SCRIPT]

local client = require 'perilune.cli.client'
local mesh = require 'perilune'

local FAILED = 1

--- Whether there is a node of that name, or id. All are looked for before the first is reloaded.
local function check_known(others, word)
  local ids = {}
  for _, node in ipairs(others) do
    if node.id == word or node.name == word then ids[#ids + 1] = node.id end
  end
  if #ids == 0 then client.fail(("NO_ROUTE: no node named '%s' is known; nothing was reloaded"):format(word)) end
  if #ids > 1 then
    client.refuse(("INVALID: '%s' is the name of several nodes; say which by id: %s"):format(
      word, table.concat(ids, ', ')))
  end
end

--- The nodes of a list such as 'a,b,c'.
local function named(others, text)
  local list, seen = {}, {}
  for word in (text .. ','):gmatch '([^,]*),' do
    if word == '' then client.refuse(("INVALID: --nodes: there is a name missing in '%s'"):format(text)) end
    if seen[word] then client.refuse(("INVALID: --nodes: '%s' is there twice"):format(word)) end
    check_known(others, word)
    list[#list + 1], seen[word] = word, true
  end
  return list
end

--- The nodes that are named, or the only one there is besides this client.
local function targets(options)
  if options.node and options.nodes then client.refuse 'INVALID: --node and --nodes do not go together' end
  local others = client.join()
  if options.nodes then return named(others, options.nodes) end
  if options.node then
    check_known(others, options.node)
    return { options.node }
  end
  local names = {}
  for _, node in ipairs(others) do
    if not node.leaf and not node.worker_of then names[#names + 1] = node.name end
  end
  if #names == 1 then return names end
  table.sort(names)
  client.refuse(('INVALID: %d nodes are in the mesh; say which: --node NAME, or --nodes %s'):format(
    #names, table.concat(names, ',')))
end

local function signed(sign, names)
  local parts = {}
  for i, name in ipairs(names) do parts[i] = ' ' .. sign .. name end
  return table.concat(parts)
end

--- Tells what came of one script. True when it was reloaded.
local function tell(prefix, report)
  if report.failure then
    client.complain(('%scannot reload %s, generation %d goes on: %s'):format(
      prefix, report.script, report.generation, report.failure))
    return false
  end
  client.write(('%sreloaded %s generation %d in %d ms:%s%s%s\n'):format(
    prefix, report.script, report.generation, report.took_us // 1000,
    signed('+', report.added), signed('-', report.removed), signed('~', report.replaced)))
  return true
end

--- Reloads the scripts of one node. True when all went well.
local function reload(node, script, timeout, prefix)
  local ok, reports = pcall(mesh.with { node = node, timeout = timeout }.call, '_perilune.reload', script)
  if not ok then
    client.complain(prefix .. tostring(reports))
    return false
  end
  local well = true
  for _, report in ipairs(reports) do well = tell(prefix, report) and well end
  return well
end

--- How many nodes at once.
local function batch_of(text)
  local batch = math.tointeger(tonumber(text or 1))
  if not batch or batch < 1 then client.refuse(("INVALID: --batch: '%s' is not 1, 2, 3 or more"):format(text)) end
  return batch
end

client.run(function()
  local options, words = client.arguments()
  local batch = batch_of(options.batch)
  local timeout = tonumber(options.timeout) or 60
  local nodes = targets(options)
  for first = 1, #nodes, batch do
    local tasks = {}
    for i = first, math.min(first + batch - 1, #nodes) do
      local prefix = #nodes > 1 and nodes[i] .. ': ' or ''
      tasks[#tasks + 1] = mesh.spawn(reload, nodes[i], words[1], timeout, prefix)
    end
    for _, well in ipairs(mesh.all(tasks)) do
      if not well then os.exit(FAILED) end
    end
  end
end)
