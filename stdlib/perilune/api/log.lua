--- What perilune.log has: see perilune.api.

return {
  name = 'perilune.log',
  text = "Lines of the node's log: a text and fields.",
  functions = {
    {
      name = 'debug',
      text = 'Writes a line of the level `debug`.',
      params = { { 'text', 'string' }, { 'fields', 'table<string, any>?' } },
    },
    {
      name = 'info',
      text = 'Writes a line of the level `info`.',
      params = { { 'text', 'string' }, { 'fields', 'table<string, any>?' } },
    },
    {
      name = 'warn',
      text = 'Writes a line of the level `warn`.',
      params = { { 'text', 'string' }, { 'fields', 'table<string, any>?' } },
    },
    {
      name = 'error',
      text = 'Writes a line of the level `error`.',
      params = { { 'text', 'string' }, { 'fields', 'table<string, any>?' } },
    },
    {
      name = 'with',
      text = 'A logger whose lines carry these fields too.',
      params = { { 'fields', 'table<string, any>' } },
      returns = { { 'perilune.Logger' } },
      example = [[
local log = require 'perilune.log'
log.set_sink(function(level, text, fields) print(level, text, fields.request) end)
log.with { request = 7 }.info 'done'
]],
      prints = 'info\tdone\t7',
    },
    {
      name = 'set_sink',
      text = 'Sends the lines of this script to a function instead, of every level; nil ends that. A sink '
        .. "that raises is reported in the node's log, and so is the line.",
      params = {
        { 'fn', 'perilune.log.Sink?' },
      },
    },
  },
  aliases = {
    { 'perilune.log.Sink', 'fun(level: string, text: string, fields: table<string, any>)' },
  },
  classes = {
    {
      name = 'perilune.Logger',
      text = 'A logger with fields of its own; its functions take no self.',
      fields = {
        { 'debug', 'fun(text: string, fields: table<string, any>?)' },
        { 'info', 'fun(text: string, fields: table<string, any>?)' },
        { 'warn', 'fun(text: string, fields: table<string, any>?)' },
        { 'error', 'fun(text: string, fields: table<string, any>?)' },
        { 'with', 'fun(fields: table<string, any>): perilune.Logger' },
      },
    },
  },
}
