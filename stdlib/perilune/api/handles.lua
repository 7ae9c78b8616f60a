--- The classes of perilune: what its functions give; see perilune.api.

return {
  aliases = {
    { 'perilune.Schema', 'string|table' },
  },
  classes = {
    {
      name = 'perilune.Description',
      fields = {
        { 'action', 'string' },
        { 'node', 'string', 'The id of the node that was asked.' },
        { 'node_name', 'string' },
        { 'where', 'string?', 'File and line of its registration.' },
        { 'names', 'string[]?', 'Of the parameters of the handler, as far as they have names.' },
        { 'description', 'string?' },
        { 'tags', 'string[]?' },
        { 'options', 'table', 'Those of `mesh.action` that were given, but for what is told beside them.' },
        { 'params', 'table[]?', 'Schemas in their one form: words are tables with `type`.' },
        { 'returns', 'table[]?' },
        { 'chunks', 'table[]?' },
      },
    },
    {
      name = 'perilune.Node',
      fields = {
        { 'id', 'string' },
        { 'name', 'string' },
        { 'hops', 'integer', '0: this one.' },
        { 'cost', 'number', 'Of the path there, in seconds.' },
        { 'via', 'string', 'Id of the neighbour over which the path begins.' },
        { 'actions', 'string[]' },
        { 'draining', 'boolean' },
        { 'leaf', 'boolean', 'It passes nothing on.' },
        { 'state', 'string' },
        { 'worker_of', 'string?', 'Of a worker: id of its host.' },
      },
    },
    {
      name = 'perilune.Self',
      fields = {
        { 'id', 'string' },
        { 'name', 'string' },
        { 'addresses', 'string[]' },
        { 'version', 'string' },
        { 'started', 'number', 'Seconds since 1970.' },
        { 'generation', 'integer' },
      },
    },
    {
      name = 'perilune.Context',
      fields = {
        { 'action', 'string' },
        { 'caller', '{ id: string, name: string, identity: any }' },
        { 'meta', 'table' },
        { 'priority', "'high'|'normal'|'low'" },
        { 'deadline', 'number?', 'On the clock of `mesh.now()`.' },
        { 'stream', 'boolean', 'Whether the caller wants chunks.' },
        { 'trace_id', 'string', '32 hexadecimal digits, the same in all calls that one first call led to.' },
        { 'call', 'string', '16 hexadecimal digits: this call, in events and traces.' },
      },
    },
    {
      name = 'perilune.Task',
      fields = {
        { 'status', "'ready'|'running'|'waiting'|'done'|'failed'|'cancelled'" },
        { 'duration', 'number', 'Seconds from its start to its end, or to now.' },
      },
      methods = {
        {
          name = 'await',
          text = 'Waits for the end of the task; returns its results or raises its error.',
          returns = { { 'any', '...' } },
          errors = {
            'the error of the task; CANCELLED of one that was broken off',
          },
        },
        {
          name = 'cancel',
          text = 'Breaks the task off.',
        },
        {
          name = 'on',
          text = 'Calls `fn` once, in a task of its own, when the task has ended: with its results if '
            .. '`event` is `done`, with its error if it is `error`. If it has ended already, that is now.',
          params = {
            { 'event', "'done'|'error'" },
            { 'fn', 'fun(...: any)' },
          },
          returns = { { 'perilune.Task' } },
        },
      },
    },
    {
      name = 'perilune.Stream',
      operator = 'call: any', -- in a generic for
      text = 'Moves to another node as an argument, in a chunk or as a result; then this handle is of no '
        .. 'more use.',
      methods = {
        {
          name = 'next',
          text = 'Waits for the next chunk: true and its values; false when the stream has ended.',
          returns = { { 'boolean', 'more' }, { 'any', '...' } },
          errors = {
            'what `mesh.call` raises',
            'TIMEOUT: the next chunk took longer than `idle`',
          },
        },
        {
          name = 'result',
          text = 'What the action returned. Discards the chunks that nobody has read.',
          returns = { { 'any', '...' } },
          errors = {
            'what `mesh.call` raises',
          },
        },
        {
          name = 'close',
          text = 'Cancels the producer, unless the stream has ended.',
        },
        {
          name = 'send',
          text = 'Sends a chunk to the handler, which reads it with `mesh.input()`. Waits while the handler is '
            .. 'slower.',
          params = {
            { '...', 'any' },
          },
          returns = { { 'boolean', 'taken', 'False when the handler reads no more.' } },
          errors = {
            'what `mesh.call` raises; a handler that reads no more is no error',
          },
        },
        {
          name = 'post',
          text = 'The same without waiting. `BUSY` when far too much waits.',
          params = {
            { '...', 'any' },
          },
          returns = { { 'boolean', 'more', 'False when so much waits that the next should wait for `drain`.' } },
          errors = {
            'BUSY: far too much waits',
          },
        },
        {
          name = 'drain',
          text = 'Waits until little of what was posted waits.',
          returns = { { 'boolean', 'more', 'False when the handler reads no more.' } },
        },
        {
          name = 'feed',
          text = 'Sends what an iterator gives, the values of a generic `for`, and then finishes. It ends '
            .. 'early when the handler reads no more.',
          params = {
            { 'step', 'fun(state: any, control: any): ...: any' },
            { 'state', 'any' },
            { 'control', 'any' },
          },
        },
        {
          name = 'finish',
          text = 'Says that nothing more will be sent.',
        },
        {
          name = 'info',
          text = 'What the handler said of the stream with `mesh.info`, before its first chunk; nil when it '
            .. 'said nothing.',
          returns = { { 'any' } },
        },
        {
          name = 'abort',
          text = 'Cancels, and tells the handler why.',
          params = {
            { 'reason', 'string', 'Of which 255 bytes travel.' },
          },
        },
        {
          name = 'fail',
          text = 'Breaks the stream off: who reads or sends from now on gets this error.',
          params = {
            { 'err', 'any' },
          },
        },
      },
    },
    {
      name = 'perilune.Input',
      operator = 'call: any',
      methods = {
        {
          name = 'close',
          text = 'Tells the caller to send no more.',
        },
      },
    },
    {
      name = 'perilune.State',
      text = 'Values by key. A table that is read is a view: it cannot be written into.',
      fields = {
        { '[string]', 'any' },
      },
      methods = {
        {
          name = 'set',
          text = 'Writes a value; nil removes the key. With `ttl`, in seconds, it goes by itself.',
          params = {
            { 'key', 'string' },
            { 'value', 'any' },
            { 'options', '{ ttl: number? }?' },
          },
        },
        {
          name = 'update',
          text = 'Changes a value by what it was, in one step over all VMs: `fn` must not wait, and may be '
            .. 'called again. It may change the table that it is given. Nil removes the key.',
          params = {
            { 'key', 'string' },
            { 'fn', 'fun(old: any): any' },
          },
          returns = { { 'any', 'new' } },
        },
        {
          name = 'incr',
          text = 'Adds to a number, 0 when there is none.',
          params = {
            { 'key', 'string' },
            { 'by', 'number?', '1 by default.' },
          },
          returns = { { 'number', 'sum' } },
        },
        {
          name = 'cas',
          text = 'Writes `new` if the value is equal to `old`, where nil is a key that is not there.',
          params = {
            { 'key', 'string' },
            { 'old', 'any' },
            { 'new', 'any' },
          },
          returns = { { 'boolean' } },
        },
        {
          name = 'keys',
          text = 'The keys, in the order in which they came.',
          returns = { { 'string[]' } },
        },
        {
          name = 'clear',
          text = 'Removes all keys.',
        },
      },
    },
    {
      name = 'perilune.OpenStream',
      fields = {
        { 'action', 'string' },
        { 'node', 'string', 'id of the other end; of one that passes through, that of the neighbour it comes from' },
        { 'name', 'string', 'its name' },
        { 'direction', "'in'|'out'|'through'", 'whether the chunks come or go' },
        { 'to', 'string?', 'of one that passes through: id of the neighbour to which they go on' },
        { 'to_name', 'string?', 'its name' },
        { 'chunks', 'integer' },
        { 'bytes', 'integer' },
        { 'credit', '{ chunks: integer, bytes: integer }' },
        { 'waits_for', "'producer'|'consumer'|'link'" },
        { 'waited', 'number' },
      },
    },
    {
      name = 'perilune.Error',
      fields = {
        { 'code', 'string' },
        { 'message', 'string' },
        { 'outcome', "'not_sent'|'not_executed'|'executed'|'unknown'" },
        { 'action', 'string?' },
        { 'node', 'string?', 'The id of the node where it arose.' },
        { 'trace_id', 'string?', 'As in the context of the call.' },
        { 'traceback', 'string?' },
        { 'cause', 'perilune.Error?' },
        { 'details', 'any' },
        { 'retry_after', 'number?', 'Seconds.' },
      },
    },
    {
      name = 'perilune.Reloaded',
      fields = {
        { 'generation', 'integer', 'That serves now.' },
        { 'took', 'number', 'Seconds.' },
        { 'added', 'string[]', 'Actions that the version before had not.' },
        { 'removed', 'string[]' },
        { 'replaced', 'string[]' },
      },
    },
    {
      name = 'perilune.Explanation',
      fields = {
        { 'action', 'string' },
        { 'strategy', 'string' },
        { 'said_by', "'call'|'action'|'node'|'default'" },
        { 'reason', 'string' },
        { 'choice', 'string?', 'The id of the chosen one.' },
        { 'candidates', 'perilune.Candidate[]' },
      },
    },
    {
      name = 'perilune.Candidate',
      fields = {
        { 'id', 'string' },
        { 'name', 'string' },
        { 'region', 'string?' },
        { 'hops', 'integer' },
        { 'cost', 'number', 'Seconds.' },
        { 'latency', 'number?', 'Seconds, smoothed.' },
        { 'outstanding', 'integer', 'Calls from here in flight.' },
        { 'load', 'integer', 'Requests of others there.' },
        { 'weight', 'integer' },
        { 'health', "'ok'|'degraded'|'ejected'|'probing'" },
        { 'standing', 'string' },
        { 'score', 'integer?' },
        { 'via', 'string?' },
        { 'chosen', 'boolean' },
      },
    },
    {
      name = 'perilune.Action',
      text = 'An action that is known in the mesh.',
      fields = {
        { 'name', 'string' },
        { 'providers', '{ id: string, name: string, hops: integer }[]' },
        { 'description', 'string?' },
        { 'serializer', 'string?' },
        { 'tags', 'string[]?' },
        { 'timeout', 'number?', 'Seconds that a call may run there.' },
      },
    },
    {
      name = 'perilune.Proxy',
      text = 'Actions whose names begin alike, each a `perilune.Member`.',
      fields = {
        { '[string]', 'any' },
      },
    },
    {
      name = 'perilune.Member',
      text = 'An action of a proxy: `calc.add(1, 2)` calls it. Its methods are called with a colon.',
      methods = {
        {
          name = 'stream',
          text = 'As `mesh.stream`: `for n in calc.count:stream(10) do`.',
          params = {
            { '...', 'any' },
          },
          returns = {
            { 'perilune.Stream', 'stream' }, { 'nil' }, { 'nil' }, { 'perilune.Stream', 'closing' },
          },
        },
        {
          name = 'explain',
          text = 'As `mesh.explain`.',
          params = {
            { '...', 'any' },
          },
          returns = { { 'perilune.Explanation' } },
        },
        {
          name = 'describe',
          text = 'As `mesh.describe`.',
          returns = { { 'perilune.Description' } },
        },
      },
    },
    {
      name = 'perilune.Route',
      fields = {
        { 'id', 'string' },
        { 'name', 'string' },
        { 'hops', 'integer' },
        { 'cost', 'number', 'Seconds.' },
        { 'next', 'string[]', 'Ids of the first steps of all paths that are equally good.' },
      },
    },
    {
      name = 'perilune.Scope',
      text = 'What `mesh.scope` gives to its function.',
      methods = {
        {
          name = 'spawn',
          text = 'Starts a task that ends before the scope does.',
          params = {
            { 'fn', 'fun(...: any): ...: any' },
            { '...', 'any' },
          },
          returns = { { 'perilune.Task' } },
        },
        {
          name = 'cancel',
          text = 'Cancels the tasks of the scope that have not ended.',
        },
      },
    },
    {
      name = 'perilune.Caller',
      text = 'The functions of `mesh.with`: those of the mesh, with its options.',
      fields = {
        { 'call', 'fun(name: string, ...: any): ...: any' },
        { 'stream', 'fun(name: string, ...: any): perilune.Stream, nil, nil, perilune.Stream' },
        { 'explain', 'fun(name: string, ...: any): perilune.Explanation' },
      },
    },
  },
}
