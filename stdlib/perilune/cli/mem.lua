--- perilune mem [NODE] [--json]

local client = require 'perilune.cli.client'
local columns = require 'perilune.cli.columns'
local mesh = require 'perilune'
local targets = require 'perilune.cli.targets'

local UNITS = { 'KiB', 'MiB', 'GiB', 'TiB' }

local function size(bytes)
  if bytes < 1024 then return ('%d B'):format(bytes) end
  local unit = 0
  while bytes >= 1024 and unit < #UNITS do bytes, unit = bytes / 1024, unit + 1 end
  return ('%.1f %s'):format(bytes, UNITS[unit])
end

local function limit(bytes) return bytes > 0 and size(bytes) or '-' end

local function add_rows(rows, node, m)
  local function add(what, bytes, most, of) rows[#rows + 1] = { node.name, what, size(bytes), most, of or '' } end
  if not node.worker_of then -- whose process is that of another row
    add('process, resident', m.process.resident, '-')
    add('process, allocated', m.process.allocated, '-', m.process.blocks .. ' blocks of the host')
  end
  for _, script in ipairs(m.scripts) do
    add(script.script, script.bytes, limit(script.limit),
      ('generation %d, %d tasks'):format(script.generation, script.tasks))
  end
  add('streams, queues, bodies', m.held.circuits, limit(m.held.limit), m.held.stream_count .. ' streams')
  add('of these, of others', m.held.relays, '-')
  add('links', m.held.links, '-', m.held.link_count .. ' links')
end

client.run(function()
  local options, words = client.arguments()
  local lists, whole = targets.ask_all(targets.of(words[1]), 'mem')
  if options.json then
    local all = {}
    for i, one in ipairs(lists) do
      all[i] = { node = one.node.id, name = one.node.name, process = one.answer.process, held = one.answer.held,
        scripts = mesh.array(one.answer.scripts) }
    end
    client.write(client.json(mesh.array(all)) .. '\n')
  else
    local rows = {}
    for _, one in ipairs(lists) do add_rows(rows, one.node, one.answer) end
    client.write(columns.format({ 'NODE', 'WHAT', 'BYTES', 'LIMIT', '' }, rows))
  end
  if not whole then client.fail 'not all nodes have answered' end
end)
