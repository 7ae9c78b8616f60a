--- perilune ps [NODE] [--all] [--stack ID] [--json]

local client = require 'perilune.cli.client'
local columns = require 'perilune.cli.columns'
local mesh = require 'perilune'
local targets = require 'perilune.cli.targets'

local HEADER = { 'NODE', 'ID', 'COUNT', 'TASK', 'CALLER', 'GEN', 'WAITS FOR', 'SINCE', 'CPU', 'AT' }
local REASON_MAX = 300 -- bytes

--- The callers of each group: a name, or how many there are.
local function callers(list)
  local names = {}
  for _, task in ipairs(list.tasks) do
    local of = names[task.group] or { count = 0 }
    names[task.group] = of
    local name = task.caller_name and (task.caller_name ~= '' and task.caller_name or task.caller)
    if name and not of[name] then of.count, of[name], of.last = of.count + 1, true, name end
  end
  return function(group)
    local of = names[group]
    if not of or of.count == 0 then return '-' end
    return of.count == 1 and of.last or of.count .. ' nodes'
  end
end

local function row(node, group, id, count, caller, waited, cpu)
  return {
    node.name, id, tostring(count), group.action or group.kind, caller, tostring(group.generation),
    group.waits_for or group.state, group.waits_for and targets.duration(waited) or '-', targets.duration(cpu),
    group.at or '-',
  }
end

local function add_groups(rows, node, list)
  local caller = callers(list)
  for i, group in ipairs(list.groups) do
    local ids = tostring(group.ids[1]) .. (group.count > 1 and ' ...' or '')
    rows[#rows + 1] = row(node, group, ids, group.count, caller(i), group.waited, group.cpu)
  end
end

local function add_tasks(rows, node, list)
  for _, task in ipairs(list.tasks) do
    local caller = task.caller_name and (task.caller_name ~= '' and task.caller_name or task.caller) or '-'
    rows[#rows + 1] = row(node, list.groups[task.group], tostring(task.id), 1, caller, task.waited, task.cpu)
  end
end

--- How many tasks the rows of a node do not tell.
local function untold(list, all)
  local told = all and #list.tasks or 0
  if not all then
    for _, group in ipairs(list.groups) do told = told + group.count end
  end
  return list.count - told
end

--- Why a reload failed, on one line and without its traceback.
local function reason(text)
  text = (text:match '^(.-)\nstack traceback:' or text):gsub('%s*\n%s*', ' ')
  return #text > REASON_MAX and text:sub(1, REASON_MAX) .. ' ...' or text
end

--- A line for each script that was reloaded: what came of the newest time.
local function write_reloads(node, scripts)
  for _, script in ipairs(scripts) do
    local reload = script.reload
    if reload then
      client.write(('%s: %s: generation %d, %s %s ago%s\n'):format(node.name, script.script, script.generation,
        reload.failure and 'reload failed' or 'reloaded', targets.duration(reload.ago),
        reload.failure and ': ' .. reason(reload.failure) or ''))
    end
  end
end

--- What is wrong with the replicas of scripts on worker threads, if something is.
local function tell_workers(lists)
  for _, one in ipairs(lists) do
    for _, replica in ipairs(one.answer.workers or {}) do
      if replica.state ~= 'serving' or replica.restarts > 0 then
        client.write(('%s: %s, %d restarts%s\n'):format(
          replica.name ~= '' and replica.name or replica.script, replica.state, replica.restarts,
          replica.died_of and ', died of: ' .. replica.died_of or ''))
      end
    end
  end
end

local function show(lists, all)
  local rows = {}
  for _, one in ipairs(lists) do (all and add_tasks or add_groups)(rows, one.node, one.answer) end
  client.write(columns.format(HEADER, rows))
  for _, one in ipairs(lists) do
    write_reloads(one.node, one.answer.scripts or {})
    local more = untold(one.answer, all)
    if more > 0 then client.write(('%s: and %d more tasks\n'):format(one.node.name, more)) end
  end
  tell_workers(lists)
end

local function show_json(lists)
  local all = {}
  for i, one in ipairs(lists) do
    for _, group in ipairs(one.answer.groups) do mesh.array(group.ids) end
    all[i] = { node = one.node.id, name = one.node.name, count = one.answer.count,
      groups = mesh.array(one.answer.groups), tasks = mesh.array(one.answer.tasks),
      scripts = mesh.array(one.answer.scripts), workers = one.answer.workers }
  end
  client.write(client.json(mesh.array(all)) .. '\n')
end

client.run(function()
  local options, words = client.arguments()
  if options.stack then
    local _, stack = targets.find_task(words[1], targets.task_id(options.stack))
    client.write((stack ~= '' and stack or 'it has not begun') .. '\n')
    return
  end
  local lists, whole = targets.ask_all(targets.of(words[1]), 'ps')
  if options.json then show_json(lists) else show(lists, options.all) end
  if not whole then client.fail 'not all nodes have answered' end
end)
