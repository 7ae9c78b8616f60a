--- perilune kill ID [NODE]

local client = require 'perilune.cli.client'
local targets = require 'perilune.cli.targets'

client.run(function()
  local _, words = client.arguments()
  local id = targets.task_id(words[1])
  local node = targets.find_task(words[2], id)
  targets.ask(node, 'kill', id)
end)
