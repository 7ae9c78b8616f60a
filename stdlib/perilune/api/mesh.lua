--- What perilune has, but for its classes: see perilune.api.

return {
  name = 'perilune',
  text = 'The mesh, as scripts see it. Its first use starts the node; `mesh.node` before that says how.',
  values = {
    { 'null', 'userdata', 'An explicit nil inside tables.' },
    { 'state', 'perilune.State', 'What the host keeps for this script, over reloads and for all replicas.' },
    { 'shared', 'perilune.State', 'What the host keeps for all scripts of the node.' },
  },
  functions = {
    {
      name = 'node',
      text = 'Starts the node with these options and waits until every given peer has connected, or failed '
        .. 'once. Optional; at most once, before anything else of the mesh.',
      params = {
        { 'options', 'perilune.NodeOptions' },
      },
      errors = {
        'an option that is unknown or wrong, with its name',
      },
    },
    {
      name = 'self',
      text = 'This node.',
      returns = { { 'perilune.Self' } },
    },
    {
      name = 'nodes',
      text = 'Every known node, this one first.',
      returns = { { 'perilune.Node[]' } },
    },
    {
      name = 'actions',
      text = 'Every action known in the mesh, by name, with its providers; with `tag`, those that have it.',
      params = {
        { 'options', '{ tag: string? }?' },
      },
      returns = { { 'perilune.Action[]' } },
    },
    {
      name = 'routes',
      text = 'The best path to every node that can be reached: its cost in seconds, and the first steps of '
        .. 'all paths that are equally good.',
      returns = { { 'perilune.Route[]' } },
    },
    {
      name = 'streams',
      text = 'The streams that are open from and to this node, or pass `through` it, and who waits for '
        .. 'whom. `chunks` and `bytes` have passed; `credit` is what may follow before the consumer '
        .. 'takes more. `waits_for` is the `consumer`, who has chunks to read; the `producer`, who has '
        .. 'none to give; or the `link`; and `waited` for how many seconds.',
      returns = { { 'perilune.OpenStream[]' } },
    },
    {
      name = 'options',
      text = 'The options of the node, and where each comes from: `default`, `script`, `config file`, '
        .. '`environment` or `command line`.',
      returns = { { 'table<string, { value: any, source: string }>' } },
    },
    {
      name = 'metrics',
      text = 'What the process has counted since it started. Names that end in `_now` go up and down, all '
        .. 'others only grow.',
      returns = { { 'table<string, integer>' } },
    },
    {
      name = 'wait',
      text = 'Waits until some node provides the action. Raises `TIMEOUT` after `timeout` seconds; without '
        .. 'one, never.',
      params = {
        { 'name', 'string' },
        { 'timeout', 'number?' },
      },
      errors = {
        'TIMEOUT: nobody has offered it in time',
      },
    },
    {
      name = 'ping',
      text = 'The round-trip time to a node, in seconds.',
      params = {
        { 'node', 'string', 'Id or unique name.' },
        { 'timeout', 'number?', 'Seconds; 10 by default.' },
      },
      returns = { { 'number' } },
      errors = {
        'NO_ROUTE: the node cannot be reached',
        'TIMEOUT: it did not answer',
      },
    },
    {
      name = 'connect',
      text = 'Connects to an address and keeps it connected. What the node there provides is known then. '
        .. 'With `cost`, in seconds, that is what a path over the link costs, as if the address said it '
        .. '(`?cost=`).',
      params = {
        { 'url', 'string' },
        { 'options', '{ cost: number? }?' },
      },
      returns = { { 'string', '', 'the id of the node there' } },
      errors = {
        'CONNECT_FAILED, TIMEOUT: nobody answers there',
        'UNAUTHORIZED: the keys differ',
      },
    },
    {
      name = 'disconnect',
      text = 'Closes the links to a node.',
      params = {
        { 'node', 'string', 'Id or unique name.' },
        { 'options', 'perilune.DisconnectOptions?' },
      },
      errors = {
        'NO_ROUTE: there is no such node',
      },
    },
    {
      name = 'keep',
      text = 'Keeps the link to a neighbour: when it is lost, it is dialled anew, at an address that the '
        .. 'neighbour tells.',
      params = {
        { 'node', 'string', 'Id or unique name.' },
      },
    },
    {
      name = 'unkeep',
      text = 'Does not keep the link to a neighbour any more. Unless the neighbour keeps it, it goes with '
        .. 'its last call.',
      params = {
        { 'node', 'string', 'Id or unique name.' },
      },
    },
    {
      name = 'stop',
      text = 'Begins to stop the process: requests that run may finish for `drain` seconds.',
      params = {
        { 'options', '{ drain: number? }?' },
      },
    },
    {
      name = 'action',
      text = 'Offers an action. Its return values are the result; every `coroutine.yield` at its own level '
        .. 'is a streamed chunk. Registering an existing name replaces it for new calls.',
      params = {
        { 'name', 'string', '1 to 255 bytes; names beginning with `_` cannot be called from other nodes.' },
        { 'handler', 'fun(...: any): ...: any' },
        { 'options', 'perilune.ActionOptions?' },
      },
      example = [[
mesh.action('sum', function(numbers)
  local total = 0
  for _, n in ipairs(numbers) do total = total + n end
  return total
end, { description = 'adds numbers', timeout = 2 })

print(mesh.call('sum', { 1, 2, 3 }))
]],
      prints = '6',
    },
    {
      name = 'remove',
      text = 'Withdraws an action; calls in flight finish. False when there is none of that name.',
      params = {
        { 'name', 'string' },
      },
      returns = { { 'boolean' } },
    },
    {
      name = 'describe',
      text = 'What an action is, as the script said that registered it: asked of the nearest node that provides '
        .. 'it, or of the one that is named.',
      params = {
        { 'name', 'string' },
        { 'options', '{ node: string?, timeout: number? }?', 'Another node to ask, by id or name.' },
      },
      returns = { { 'perilune.Description' } },
      errors = {
        'NOT_FOUND: nobody provides it',
      },
      example = [[
mesh.action('sum', function(numbers) return #numbers end, {
  params = { { list = 'number' } }, returns = { 'number' }, description = 'adds numbers',
})

local told = mesh.describe 'sum'
print(told.description, told.names[1], told.params[1].list.type, told.returns[1].type)
]],
      prints = 'adds numbers\tnumbers\tnumber\tnumber',
    },
    {
      name = 'context',
      text = 'The call that the running handler serves, also in the tasks that it spawned; nil outside of '
        .. 'one.',
      returns = { { 'perilune.Context?' } },
      example = [[
mesh.action('who', function() return mesh.context().action, mesh.context().meta.user end)
print(mesh.with { meta = { user = 'ada' } }.call 'who')
]],
      prints = 'who\tada',
    },
    {
      name = 'input',
      text = 'The chunks that the caller sends to the running handler: `for a, b in mesh.input() do`. They '
        .. 'end when the caller has finished; a caller that breaks off raises. Leaving the loop tells '
        .. 'the caller to send no more.',
      returns = { { 'perilune.Input', 'input' }, { 'nil' }, { 'nil' }, { 'perilune.Input', 'closing' } },
      example = [[
mesh.action('add', function()
  local sum = 0
  for n in mesh.input() do sum = sum + n end
  return sum
end)

local stream <close> = mesh.stream 'add'
for i = 1, 4 do stream:send(i) end
stream:finish()
print(stream:result())
]],
      prints = '10',
    },
    {
      name = 'info',
      text = 'Says something of the stream of the running handler: its caller reads it with '
        .. '`stream:info()`. Once, before the first chunk, at most 8 KiB.',
      params = {
        { 'value', 'any' },
      },
    },
    {
      name = 'call',
      text = 'Calls an action and returns its results, or raises a `perilune.Error`.',
      params = {
        { 'name', 'string' },
        { '...', 'any' },
      },
      returns = { { 'any', '...' } },
      errors = {
        'NOT_FOUND, NO_ROUTE: nobody provides it, or the node cannot be reached',
        'BUSY, DRAINING: refused; it did not run',
        'TIMEOUT: of the call, or of the handler that calls',
        'PEER_LOST: the path was lost after the call had left',
        'STREAM_EXPECTED: the action streams',
        'INVALID: a value that cannot travel',
        'HANDLER_ERROR, or the code that the handler has raised',
      },
      example = [[
mesh.action('divide', function(a, b)
  if b == 0 then error { code = 'DIVISION_BY_ZERO', message = 'b is 0' } end
  return a // b, a % b
end)

print(mesh.call('divide', 7, 2))
local ok, err = pcall(mesh.call, 'divide', 1, 0)
print(ok, err.code, err.message)
]],
      prints = [[
3	1
false	DIVISION_BY_ZERO	b is 0
]],
    },
    {
      name = 'stream',
      text = 'Calls an action for its chunks: `for a, b in mesh.stream(name, …) do`. Never waits.',
      params = {
        { 'name', 'string' },
        { '...', 'any' },
      },
      returns = { { 'perilune.Stream', 'stream' }, { 'nil' }, { 'nil' }, { 'perilune.Stream', 'closing' } },
      errors = {
        'none itself: what fails comes from the first `next`, `send` or `result`',
      },
      example = [[
mesh.action('count', function(max)
  for i = 1, max do coroutine.yield(i) end
  return 'done'
end)

for i in mesh.stream('count', 2) do print(i) end

local stream <close> = mesh.stream('count', 5)
print(stream:next())
print(stream:result())
]],
      prints = [[
1
2
true	1
done
]],
    },
    {
      name = 'with',
      text = "Calls and streams with these options: `mesh.with{timeout = 2}.call('sum', {1, 2})`.",
      params = {
        { 'options', 'perilune.CallOptions' },
      },
      returns = { { 'perilune.Caller' } },
      example = [[
mesh.action('slow', function() mesh.sleep(5) end)

local ok, err = pcall(mesh.with { timeout = 0.05 }.call, 'slow')
print(ok, err.code)
]],
      prints = 'false\tTIMEOUT',
    },
    {
      name = 'proxy',
      text = 'The actions whose names begin with `name` and a dot, as functions of a table. What nobody '
        .. 'provides is told at the line that uses it.',
      params = {
        { 'name', 'string' },
        { 'options', 'perilune.CallOptions?', 'Of all its calls, as of `mesh.with`.' },
      },
      returns = { { 'perilune.Proxy' } },
      errors = {
        'NOT_FOUND: by a member that nobody provides, with what may have been meant',
      },
      example = [[
mesh.action('calc.add', function(a, b) return a + b end)
mesh.action('calc.count', function(n)
  for i = 1, n do coroutine.yield(i) end
end)

local calc = mesh.proxy 'calc'
print(calc.add(1, 2))
for n in calc.count:stream(2) do print(n) end
]],
      prints = [[
3
1
2
]],
    },
    {
      name = 'explain',
      text = 'What would come of a call now, without making it: the providers, in the order in which they '
        .. 'come into question, the strategy, the choice and its reason.',
      params = {
        { 'name', 'string' },
        { '...', 'any' },
      },
      returns = { { 'perilune.Explanation' } },
    },
  },
  more = { 'perilune.api.tasks', 'perilune.api.monitor', 'perilune.api.handles', 'perilune.api.options' },
}
