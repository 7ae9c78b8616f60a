--- perilune explain ACTION [JSON-ARG]...

local client = require 'perilune.cli.client'
local columns = require 'perilune.cli.columns'
local mesh = require 'perilune'

local HEADER = {
  '', 'NODE', 'ID', 'HOPS', 'COST', 'VIA', 'REGION', 'STANDING', 'HEALTH', 'IN FLIGHT', 'LOAD', 'LATENCY', 'WEIGHT',
  'SCORE',
}

local function milliseconds(seconds)
  return seconds and seconds > 0 and ('%.3f ms'):format(seconds * 1e3) or '-'
end

local function row(candidate, names)
  return {
    candidate.chosen and '*' or '', candidate.name, candidate.id, tostring(candidate.hops),
    milliseconds(candidate.cost), candidate.via and (names[candidate.via] or candidate.via) or '-',
    candidate.region or '-', candidate.standing, candidate.health, tostring(candidate.outstanding),
    tostring(candidate.load), milliseconds(candidate.latency), tostring(candidate.weight),
    candidate.score and tostring(candidate.score) or '-',
  }
end

local function summary(how, names)
  local said = how.said_by == 'default' and 'the default' or 'said by the ' .. how.said_by
  local choice = how.choice and names[how.choice] or 'nobody'
  return ('%s: %s takes the call, because %s\nstrategy: %s, %s\n'):format(
    how.action, choice, how.reason, how.strategy, said)
end

client.run(function()
  local options, words = client.arguments()
  local action = table.remove(words, 1)
  local values = client.values(words)
  client.join()

  local caller = mesh.with { key = options.key }
  local how = caller.explain(action, table.unpack(values, 1, values.n))
  if options.json then
    mesh.array(how.candidates)
    return client.write(client.json(how) .. '\n')
  end
  local rows, names = {}, {}
  for _, node in ipairs(mesh.nodes()) do names[node.id] = node.name end
  for i, candidate in ipairs(how.candidates) do rows[i] = row(candidate, names) end
  client.write(summary(how, names))
  if #rows > 0 then client.write('\n' .. columns.format(HEADER, rows)) end
end)
