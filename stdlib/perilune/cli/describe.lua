--- perilune describe ACTION [--node NODE] [--json]

local client = require 'perilune.cli.client'
local columns = require 'perilune.cli.columns'
local mesh = require 'perilune'
local schemas = require 'perilune.cli.schemas'

local LIMITS = {
  'timeout', 'concurrency', 'queue', 'cpu_limit', 'idempotent', 'share', 'serializer', 'strategy', 'weight',
}

local function options_of(told)
  local shown = {}
  for _, name in ipairs(LIMITS) do
    local value = told.options[name]
    if value == true then shown[#shown + 1] = name
    elseif value then shown[#shown + 1] = ('%s %s'):format(name, value) end
  end
  return table.concat(shown, ', ')
end

local function providers_of(name)
  for _, action in ipairs(mesh.actions()) do
    if action.name == name then
      local names = {}
      for i, provider in ipairs(action.providers) do names[i] = provider.name end
      table.sort(names)
      return table.concat(names, ', ')
    end
  end
  return ''
end

local function summary(told)
  local rows = {}
  local function add(label, text)
    if text and text ~= '' then rows[#rows + 1] = { label, text } end
  end
  add('provided by', providers_of(told.action))
  add('described by', told.node_name)
  add('registered at', told.where)
  add('tags', told.tags and table.concat(told.tags, ', '))
  add('options', options_of(told))
  return rows
end

--- A section for a list of schemas; nothing where the action says nothing.
local function section(title, list, names)
  if not list then return '' end
  local rows = {}
  local function add(label, text, depth, description)
    rows[#rows + 1] = { ('  '):rep(depth) .. label, text, description or '' }
  end
  for i, schema in ipairs(list) do
    local name = names and names[i]
    add(name and ('%d %s'):format(i, name) or tostring(i), schemas.text(schema), 1, schema.description)
    schemas.inside(schema, 2, add)
  end
  if #rows == 0 then rows[1] = { '  none' } end
  return ('\n%s\n%s'):format(title, columns.rows(rows))
end

--- What to type to call it.
local function example(told)
  local words = { 'perilune', told.chunks and 'stream' or 'call', client.shell_word(told.action) }
  for _, schema in ipairs(told.params or {}) do
    if schema.optional or schema.rest then break end
    words[#words + 1] = client.shell_word(schemas.example(schema))
  end
  if not told.params and told.names and #told.names > 0 then words[#words + 1] = 'JSON…' end
  return '  ' .. table.concat(words, ' ') .. '\n'
end

local function page(told)
  return table.concat {
    columns.printable(told.action), told.description and ': ' .. columns.printable(told.description) or '', '\n',
    columns.rows(summary(told)),
    section('arguments', told.params, told.names),
    section('results', told.returns),
    section('chunks', told.chunks),
    not told.params and '\nit does not say which arguments it takes\n' or '',
    '\nto call it\n', columns.printable(example(told):sub(1, -2)), '\n',
  }
end

client.run(function()
  local options, words = client.arguments()
  client.join()
  local told = mesh.describe(words[1], { node = options.node })
  if options.json then return client.write(client.json(told) .. '\n') end
  local ok, text = pcall(page, told)
  client.write(ok and text or client.fail 'PROTOCOL: the node answers with what is no description')
end)
