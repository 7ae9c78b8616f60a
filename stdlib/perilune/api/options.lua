--- The options of functions of perilune: see perilune.api.

local node = require 'perilune.core.node'

local STRATEGIES = "'least'|'round_robin'|'random'|'weighted'|'p2c'|'hash'|'local'"

--- Those of mesh.node are the options of the host.
local function node_options()
  local fields = {}
  for i, option in ipairs(node.option_list()) do
    fields[i] = { option.name, option.type .. '?', option.text }
  end
  return { name = 'perilune.NodeOptions', text = 'As the options of `perilune run`.', fields = fields }
end

return {
  classes = {
    node_options(),
    {
      name = 'perilune.ActionOptions',
      fields = {
        { 'concurrency', 'integer?', 'Handlers at once; 0 = no bound of its own.' },
        { 'queue', 'integer?',
          'Holds so many calls until their deadlines; unless given they wait in the queue of the node.',
        },
        { 'timeout', 'number?',
          'Seconds that a call may run, and for which its callers wait unless they say otherwise.',
        },
        { 'cpu_limit', 'number?', 'Seconds of CPU time between two waits.' },
        { 'idempotent', 'boolean?', 'A repeated call does no harm.' },
        { 'share', 'boolean?',
          'Equal calls of one caller that come while one of them runs get the answer of that one.',
        },
        { 'serializer', "'msgpack'|'json'|nil" },
        { 'description', 'string?' },
        { 'strategy', STRATEGIES .. '|nil', 'Who of its providers takes a call that does not say so itself.' },
        { 'weight', 'integer?', '1 to 10000: its share of the calls with the strategy `weighted`.' },
        { 'tags', 'string[]?', 'At most 16 words to find it by: `mesh.actions { tag = … }`.' },
        { 'params', 'perilune.Schema[]?',
          'One for each argument: a call with others is refused with `INVALID` before the handler runs.',
        },
        { 'returns', 'perilune.Schema[]?', 'One for each result.' },
        { 'chunks', 'perilune.Schema[]?', 'One for each value of a chunk.' },
      },
    },
    {
      name = 'perilune.CallOptions',
      fields = {
        { 'timeout', 'number?', 'Seconds for a call, or for a stream to start.' },
        { 'idle', 'number?', 'Seconds of the longest gap of a stream.' },
        { 'node', 'string?', 'Id or name of the one node to call.' },
        { 'meta', 'table?', 'Travels with the call.' },
        { 'priority', "'high'|'normal'|'low'|nil",
          'Of those that wait for a slot; else that of the handler that calls.',
        },
        { 'wait', 'number?', 'Seconds to wait for a provider when there is none.' },
        { 'strategy', STRATEGIES .. '|function|nil', 'Who of several providers takes a call.' },
        { 'key', 'string|number|nil', 'Of the strategy `hash`.' },
        { 'prefer', '{ region: string|string[] }?', 'Who comes first, while healthy.' },
        { 'providers', 'string|string[]|table<string, string|string[]>|nil', 'Who may take it, in this order.' },
        { 'retries', 'integer?', 'How often a call that did not run is repeated elsewhere.' },
        { 'input', 'function|table|nil',
          'An iterator: what it gives is sent to the handler. Or the values of a generic `for`.',
        },
      },
    },
    {
      name = 'perilune.DisconnectOptions',
      fields = {
        { 'reason', 'string?' },
        { 'allow_reconnect', 'boolean?' },
        { 'abort', 'boolean?' },
      },
    },
  },
}
