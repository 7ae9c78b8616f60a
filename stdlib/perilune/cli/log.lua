--- perilune log [--node NODE] [--follow] [--level L] [--lines N]

local client = require 'perilune.cli.client'
local mesh = require 'perilune'
local node_core = require 'perilune.core.node'
local outputs = require 'perilune.cli.output'
local sys = require 'perilune.core.sys'
local targets = require 'perilune.cli.targets'

local LEVELS = { debug = true, info = true, warn = true, error = true }
local LINES = 100
local LOOK = 0.2 -- seconds between two looks whether somebody still reads, while no line comes

client.run(function()
  local options = client.arguments()
  local level = options.level
  if level and not LEVELS[level] then
    client.refuse(("INVALID: --level: '%s' is none of debug, info, warn and error"):format(level))
  end
  local lines, follow = math.tointeger(tonumber(options.lines or LINES)), options.follow == true
  if not lines then client.refuse 'INVALID: --lines is a whole number' end
  local nodes = targets.of(options.node)
  local streams, whole, over = {}, true, false
  local function finish()
    over = true
    for _, stream in pairs(streams) do stream:close() end
  end
  local output = outputs.new(finish)

  local function copy(node)
    local stream <close> = mesh.with { node = node.id, idle = 0 }.stream('_perilune.log', level, lines, follow)
    streams[node] = stream
    local prefix = #nodes > 1 and node.name .. '  '
    while not over do
      local more, text, lost = stream:next()
      if not more then break end
      if lost > 0 then client.complain(('%s: %d lines are gone'):format(node.name, lost)) end
      output:put(prefix and text:gsub('[^\n]+', function(line) return prefix .. line end) or text)
    end
    streams[node] = nil
  end

  local function try(node)
    local ok, err = pcall(copy, node)
    if ok or over or node_core.stopping() then return end
    if #nodes == 1 then error(err, 0) end
    whole = false
    client.complain(('%s: %s'):format(node.name, tostring(err)))
  end

  if follow then
    local tasks = {}
    for i, node in ipairs(nodes) do tasks[i] = mesh.spawn(try, node) end
    local watch = mesh.every(LOOK, function()
      if sys.hung_up 'stdout' then finish() end
    end)
    mesh.all(tasks)
    watch:cancel()
  else
    for _, node in ipairs(nodes) do try(node) end
  end
  output:finish()
  if not whole then client.fail 'not all nodes have answered' end
end)
