--- What is typed behind a colon, and is no Lua.

local columns = require 'perilune.cli.columns'
local mesh = require 'perilune'

local M = {}

local HELP = [[
Type Lua: an expression shows its values, and `_` is the first of the last
ones. What is not whole goes on in the next line. `mesh` is there, and calls,
streams and sleeps wait: mesh.call('sum', {1, 2}). Each line is a chunk of its
own: its locals end with it, globals stay. Ctrl-C ends the line that runs,
Ctrl-D leaves.

  :actions       the actions of the mesh
  :nodes         the nodes of the mesh
  :help          this
  :quit          leaves, as Ctrl-D
]]

local KEYS = [[

Tab completes names, fields and the actions of mesh.call and mesh.stream. Up
and down go through what was typed before, Ctrl-R searches it. Ctrl-A and
Ctrl-E go to the ends of the line, Alt-B and Alt-F over words. Ctrl-W, Ctrl-U
and Ctrl-K cut, Ctrl-Y puts back. Ctrl-L clears the screen. Alt-Enter begins a
new line.
]]

local function nodes()
  local rows = {}
  for _, node in ipairs(mesh.nodes()) do
    rows[#rows + 1] = { node.name, node.id, tostring(node.hops), node.hops == 0 and 'this one' or node.state }
  end
  return columns.format({ 'NAME', 'ID', 'HOPS', 'STATE' }, rows)
end

local function actions()
  local rows = {}
  for _, action in ipairs(mesh.actions()) do
    local names = {}
    for i, provider in ipairs(action.providers) do names[i] = provider.name end
    rows[#rows + 1] = { action.name, table.concat(names, ', '), action.description or '' }
  end
  return columns.format({ 'ACTION', 'NODES', 'DESCRIPTION' }, rows)
end

local commands = {
  help = function(is_terminal) return is_terminal and HELP .. KEYS or HELP end,
  nodes = nodes,
  actions = actions,
}

--- The names of all, for completion.
---@type string[]
M.names = { ':actions', ':help', ':nodes', ':quit' }

--- Does what the line says, if it is one. Returns its output, or `quit`; nil: it is Lua. An unknown one is told.
---
---@param line string
---@param is_terminal boolean
---@return string? output
---@return boolean? quit
function M.run(line, is_terminal)
  local name = line:match '^%s*:([^:%s]*)%s*$'
  if not name then return nil end
  if name == 'quit' or name == 'q' or name == 'exit' then return '', true end
  local command = commands[name]
  if command then return command(is_terminal) end
  return ("no command ':%s'; :help lists them\n"):format(name)
end

return M
