--- perilune top [NODE] [--interval S] [--once] [--json]

local client = require 'perilune.cli.client'
local mesh = require 'perilune'
local models = require 'perilune.top.model'
local stdio = require 'perilune.stdio'
local targets = require 'perilune.cli.targets'
local terminal = require 'perilune.core.terminal'
local time = require 'perilune.time'
local view = require 'perilune.top.view'

local INTERVAL, INTERVAL_MIN, INTERVAL_MAX = 1, 0.1, 3600
local PATIENCE = 1 -- seconds for an answer, so that one that hangs does not hold up the rest for long
local SHORT = 0.05 -- seconds between two looks whether the nodes have answered
local ENTER, LEAVE = '\27[?1049h\27[?25l', '\27[?25h\27[?1049l'

local function interval_of(options)
  if not options.interval then return INTERVAL end
  local seconds = tonumber(options.interval)
  if not seconds or seconds < INTERVAL_MIN or seconds > INTERVAL_MAX then
    client.refuse(("INVALID: --interval: '%s' is no number of seconds from %g to %g"):format(options.interval,
      INTERVAL_MIN, INTERVAL_MAX))
  end
  return seconds
end

--- The nodes that are there now; the one that was named also when it is not.
local function present(word)
  local nodes = {}
  for _, node in ipairs(mesh.nodes()) do
    local wanted = not word or node.name == word or node.id == word
    if node.hops > 0 and wanted then nodes[#nodes + 1] = node end
  end
  if word and #nodes == 0 then return { { id = word, name = word } } end
  return targets.sorted(nodes)
end

--- One look at all of them.
---
---@param timeout number? Seconds.
---@return perilune.top.Sample[] samples
---@return any[] failures By their places.
local function look(nodes, timeout)
  local answers, failures = targets.gather(nodes, timeout, 'metrics')
  local samples = {}
  for i, node in ipairs(nodes) do
    if answers[i] or failures[i] then -- else it was a client that has left
      local about = answers[i] or node
      samples[#samples + 1] = { id = about.id, name = about.name, answer = answers[i] }
    end
  end
  return samples, failures
end

-- Once.

local function round(n) return n and math.floor(n * 1e6 + 0.5) / 1e6 end

local function show_json(model)
  local nodes, by = {}, {}
  for i, node in ipairs(model.nodes) do
    nodes[i] = { id = node.id, name = node.name, state = node.state, uptime = round(node.uptime), links = node.links,
      tasks = node.tasks, running = node.running, queued = node.queued, held = node.held, actions = mesh.array {} }
    by[node.id] = nodes[i].actions
  end
  table.sort(model.rows, function(a, b)
    if a.action ~= b.action then return a.action < b.action end
    return a.served and not b.served
  end)
  for _, row in ipairs(model.rows) do
    local actions = by[row.id]
    actions[#actions + 1] = { action = row.action, served = row.served, rate = round(row.rate),
      errors = round(row.errors), items = round(row.items), p50 = row.p50, p99 = row.p99, running = row.running,
      queued = row.queued, calls = row.calls, ok = row.ok, failed = row.failed }
  end
  client.write(client.json(mesh.array(nodes)) .. '\n')
end

local function show_once(model)
  local nodes, actions = view.tables(model, view.state())
  client.write(table.concat(nodes, '\n') .. '\n\n' .. table.concat(actions, '\n') .. '\n')
end

local function once(word, interval, as_json)
  local model = models.new()
  local nodes = targets.of(word)
  local samples, failures = look(nodes)
  for i, err in pairs(failures) do
    if #nodes == 1 then error(err, 0) end
    client.complain(('%s: %s'):format(nodes[i].name, tostring(err)))
  end
  model:take(samples)
  mesh.sleep(interval)
  model:take((look(nodes)));
  (as_json and show_json or show_once)(model)
  if next(failures) then client.fail 'not all nodes have answered' end
end

-- Live.

local shown -- by the last draw: the same is not written again

local function draw(model, state)
  local width, height = terminal.size()
  if not width then return end
  local lines, marked = view.frame(model, state, width, height)
  local out = {}
  for i = 1, height do -- each at its place, so that a line with wide characters moves no other
    local line = lines[i] or ''
    out[i] = ('\27[%d;1H\27[K%s'):format(i, marked[i] and '\27[1m' .. line .. '\27[0m' or line)
  end
  local screen = table.concat(out)
  if screen ~= shown then client.write(screen) end
  shown = screen
end

--- False: it is over.
local function press_all(state)
  local bytes = terminal.read()
  if not bytes then return false end
  for _, key in ipairs(view.keys(bytes)) do
    if not view.press(state, key) then return false end
  end
  return true
end

local function live(word, interval)
  local model, state = models.new(), view.state()
  local function take() model:take((look(present(word), math.max(interval, PATIENCE)))) end
  take()
  local due, asking = time.monotonic() + interval, nil
  terminal.raw(ENTER, LEAVE)
  while true do
    if not asking and not state.paused and time.monotonic() >= due then
      due = time.monotonic() + interval
      asking = mesh.spawn(take)
    end
    draw(model, state)
    local left = state.paused and interval or math.max(0, due - time.monotonic())
    local event = terminal.wait(asking and SHORT or left)
    if event == 'input' and not press_all(state) then return end
    if asking and asking.status ~= 'running' then
      asking:await()
      asking = nil
    end
  end
end

client.run(function()
  local options, words = client.arguments()
  local interval = interval_of(options)
  local at_terminal = stdio.is_tty 'stdin' and stdio.is_tty 'stdout' and terminal.size()
  if options.json or options.once or not at_terminal then
    once(words[1], interval, options.json)
  else
    local nodes = targets.of(words[1])
    if words[1] then targets.ask(nodes[1].id, 'info') end -- which says what is wrong with a name
    live(words[1], interval)
  end
end)
