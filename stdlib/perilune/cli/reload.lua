--- perilune reload [SCRIPT]

local client = require 'perilune.cli.client'
local mesh = require 'perilune'

local FAILED = 1

--- The nodes that are named, or the only one there is besides this client.
local function targets(options)
  local others = client.join()
  local given = options.nodes or options.node
  if given then
    local list = {}
    for name in given:gmatch '[^,]+' do list[#list + 1] = name end
    return list
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

client.run(function()
  local options, words = client.arguments()
  local batch = math.max(1, math.floor(tonumber(options.batch) or 1))
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
