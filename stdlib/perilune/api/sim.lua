--- What perilune.sim has: see perilune.api.

return {
  name = 'perilune.sim',
  is_function = true, -- that of mesh.sim
  text = 'A mesh of scripts in one process, in virtual time, with faults on demand: what `mesh.sim` gives. Time '
    .. 'stands still but in `advance`, `wait` and what waits for a node. The same seed gives the same run.',
  aliases = {
    { 'perilune.sim.Nodes', 'string|perilune.sim.Node|(string|perilune.sim.Node)[]' },
  },
  classes = {
    {
      name = 'perilune.sim.Options',
      fields = {
        { 'seed', 'integer?', '1 by default.' },
        { 'nodes', 'integer|table|nil', 'A number (n1, n2, …), a list of names, or a table from names to scripts.' },
        { 'script', 'function|string|nil', 'Of the nodes that have none of their own.' },
        { 'topology', "'full'|'line'|'ring'|'star'|'tree'|'random'|nil", 'Who is linked with whom.' },
        { 'options', 'perilune.NodeOptions?', 'Of all nodes.' },
      },
    },
    {
      name = 'perilune.sim.Node',
      fields = {
        { 'name', 'string' },
      },
      methods = {
        {
          name = 'start',
          text = 'Runs code in the node; arguments and results travel as in a call. Returns at once.',
          params = {
            { 'code', 'function|string' },
            { '...', 'any' },
          },
          returns = { { 'perilune.sim.Task' } },
        },
        {
          name = 'eval',
          text = 'Runs code in the node to its end, and returns its results.',
          params = {
            { 'code', 'function|string' },
            { '...', 'any' },
          },
          returns = { { 'any', '...' } },
        },
        {
          name = 'call',
          text = 'Calls an action from the node.',
          params = {
            { 'action', 'string' },
            { '...', 'any' },
          },
          returns = { { 'any', '...' } },
        },
        {
          name = 'fake',
          text = 'Provides an action that answers with the results of a function, or with values, and keeps '
            .. 'its calls. Others have heard of it when this returns. It is gone with the process of the '
            .. 'node.',
          params = {
            { 'name', 'string' },
            { '...', 'any', 'A function, or the values.' },
          },
          returns = { { 'perilune.sim.Fake' } },
        },
        {
          name = 'state',
          text = '`off`, `starting`, `ready` or `over`, and the last exit code.',
          returns = { { 'string' }, { 'integer?' } },
        },
        {
          name = 'id',
          text = 'The id of the node.',
          returns = { { 'string' } },
        },
        {
          name = 'reports',
          text = 'The first values of all that its scripts gave to `report`.',
          returns = { { 'any[]' } },
        },
        {
          name = 'log',
          text = 'What it has logged.',
          returns = { { 'string' } },
        },
        {
          name = 'metrics',
          text = 'As `mesh.metrics` there.',
          returns = { { 'table<string, integer>' } },
        },
        {
          name = 'restart',
          text = 'Starts it (again), and waits until it is ready, or over.',
          returns = { { 'perilune.sim.Node', 'self' } },
        },
        {
          name = 'launch',
          text = 'Starts it without waiting.',
        },
        {
          name = 'crash',
          text = 'It dies: `power` without a sign, else as by kill -9.',
          params = {
            { 'options', '{ power: boolean? }?' },
          },
        },
        {
          name = 'stop',
          text = 'It is told to stop, and has `drain` seconds for what runs; returns its exit code.',
          params = {
            { 'options', '{ drain: number? }?' },
          },
          returns = { { 'integer' } },
        },
        {
          name = 'pause',
          text = 'As by SIGSTOP and SIGCONT.',
        },
        {
          name = 'resume',
          text = 'Goes on after `pause`.',
        },
        {
          name = 'clock',
          text = 'Its clock leaps ahead by `leap` seconds, runs `rate` times as fast, its wall clock is off by '
            .. '`wall` seconds, and it notices everything `lag` seconds late.',
          params = {
            { 'options', '{ leap: number?, rate: number?, wall: number?, lag: number? }' },
          },
        },
      },
    },
    {
      name = 'perilune.sim.Net',
      fields = {
        { 'nodes', 'perilune.sim.Node[]', 'A node is also a field of its own name.' },
        { '[string]', 'perilune.sim.Node' },
      },
      methods = {
        {
          name = 'node',
          text = 'Adds a node and waits until it is ready, or over.',
          params = {
            { 'name', 'string' },
            { 'options', '{ script: function|string?, peers: table?, options: table? }' },
          },
          returns = { { 'perilune.sim.Node' } },
        },
        {
          name = 'now',
          text = 'Seconds of virtual time.',
          returns = { { 'number' } },
        },
        {
          name = 'advance',
          text = 'Lets time go on.',
          params = {
            { 'seconds', 'number' },
          },
        },
        {
          name = 'wait',
          text = 'Lets time go on until `done()` is true, and returns what it returned. Raises after `timeout` '
            .. 'virtual seconds (120).',
          params = {
            { 'done', 'fun(): any' },
            { 'timeout', 'number?' },
          },
          returns = { { 'any' } },
        },
        {
          name = 'partition',
          text = 'Nothing passes between the nodes of `a` and those of `b`, either way, until `heal`.',
          params = {
            { 'a', 'perilune.sim.Nodes' },
            { 'b', 'perilune.sim.Nodes' },
          },
        },
        {
          name = 'block',
          text = 'Nothing passes from `a` to `b`; the other way is open.',
          params = {
            { 'a', 'perilune.sim.Nodes' },
            { 'b', 'perilune.sim.Nodes' },
          },
        },
        {
          name = 'heal',
          text = 'All paths are open again.',
        },
        {
          name = 'cut',
          text = 'Ends the connections between two nodes at any byte. `told`: who notices, `both`, `first`, '
            .. '`second` or `none`; the other does when it sends, or with `silent` not even then. Returns '
            .. 'how many there were.',
          params = {
            { 'a', 'perilune.sim.Nodes' },
            { 'b', 'perilune.sim.Nodes' },
            { 'options', '{ told: string?, silent: boolean? }?' },
          },
          returns = { { 'integer' } },
        },
        {
          name = 'path',
          text = 'How the path from `a` to `b` is from now on: seconds, bytes per second (0: no bound), share '
            .. 'of lost segments.',
          params = {
            { 'a', 'perilune.sim.Nodes' },
            { 'b', 'perilune.sim.Nodes' },
            { 'options', '{ latency: number?, jitter: number?, bandwidth: integer?, loss: number? }' },
          },
        },
        {
          name = 'finish',
          text = 'Ends everything: heals, stops every node, and raises if one does not stop or has something '
            .. 'left.',
        },
        {
          name = 'drop',
          text = 'Ends everything at once, whatever is left.',
        },
      },
    },
    {
      name = 'perilune.sim.Task',
      text = 'Code that runs in a node.',
      methods = {
        {
          name = 'state',
          text = '`running`, `done`, `failed`, or `lost` with its node.',
          returns = { { 'string' } },
        },
        {
          name = 'wait',
          text = 'Waits for its end. Returns what the code returned, or raises its error.',
          returns = { { 'any', '...' } },
        },
        {
          name = 'cancel',
          text = 'Breaks it off.',
        },
      },
    },
    {
      name = 'perilune.sim.Fake',
      text = 'An action that stands for another.',
      methods = {
        {
          name = 'calls',
          text = 'The arguments of each call so far, oldest first; a nil among them is mesh.null.',
          returns = { { 'any[][]' } },
        },
      },
    },
  },
}
