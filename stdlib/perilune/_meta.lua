---@meta perilune
--- For editors and readers: what C provides of the surface. It is never loaded; spec/functional/meta_spec.lua holds it
--- against the running module. The rest of the surface is annotated where it is written, in this folder.

-- luacheck: ignore 241

---@class perilune
---@field null userdata An explicit nil inside tables.
---@field state perilune.State What the host keeps for this script, over reloads and for all replicas.
---@field shared perilune.State What the host keeps for all scripts of the node.
local mesh = {}

--- Marks a string as binary, which valid UTF-8 would not be.
---
---@param s string
---@return userdata
function mesh.bytes(s) end

--- Marks a table as an array of `n` elements, or of its length, and returns it.
---
---@param t table
---@param n integer?
---@return table
function mesh.array(t, n) end

--- Starts the node with these options and waits until every given peer has connected, or failed once.
--- Optional; at most once, before anything else of the mesh.
---
---@param options table `perilune help run` lists them.
function mesh.node(options) end

--- Calls an action and returns its results, or raises a `perilune.Error`.
---
---@param name string
---@param ... any
---@return any ...
function mesh.call(name, ...) end

--- Calls an action for its chunks: `for a, b in mesh.stream(name, …) do`. Never waits.
---
---@param name string
---@param ... any
---@return perilune.Stream stream, nil, nil, perilune.Stream closing
function mesh.stream(name, ...) end

--- What would come of a call now, without making it: the providers, in the order in which they come into
--- question, the strategy, the choice and its reason.
---
---@param name string
---@param ... any
---@return perilune.Explanation
function mesh.explain(name, ...) end

--- Starts `fn(...)` as a task of its own. It inherits the context of the running task, not its deadline.
---
---@param fn fun(...: any): ...: any
---@param ... any
---@return perilune.Task
function mesh.spawn(fn, ...) end

--- Runs `fn(...)` in the caller's task; what it waits for after `seconds` ends with `TIMEOUT`.
---
---@param seconds number
---@param fn fun(...: any): ...: any
---@param ... any
---@return any ...
function mesh.timeout(seconds, fn, ...) end

--- Waits for `seconds`; 0 lets the other tasks run.
---
---@param seconds number
function mesh.sleep(seconds) end

--- Seconds on a clock that never jumps. Only differences mean something.
---
---@return number
function mesh.now() end

--- Has work that only computes done in another VM on a thread of its own, away from the loop, and waits for its results
--- in this task: `mesh.offload(module, name, …)` for a function of a module, or `mesh.offload(fn, …)` for a function
--- that uses no local around it. There the mesh is not available, nor anything to wait for.
---
---@param module string|fun(...: any): ...: any
---@param name any
---@param ... any
---@return any ...
function mesh.offload(module, name, ...) end

--- Loads the script anew beside the version that serves, and puts it in its place. Raises when it cannot be loaded:
--- then the old version goes on. A call that asks for it finishes in the version in which it began.
---
---@return perilune.Reloaded
function mesh.reload() end

--- This node.
---
---@return perilune.Self
function mesh.self() end

--- The call that the running handler serves, also in the tasks that it spawned; nil outside of one.
---
---@return perilune.Context?
function mesh.context() end

--- The chunks that the caller sends to the running handler: `for a, b in mesh.input() do`. They end when the caller
--- has finished; a caller that breaks off raises. Leaving the loop tells the caller to send no more.
---
---@return perilune.Input input, nil, nil, perilune.Input closing
function mesh.input() end

--- Says something of the stream of the running handler: its caller reads it with `stream:info()`. Once, before the
--- first chunk, at most 8 KiB.
---
---@param value any
function mesh.info(value) end

--- What the process has counted since it started. Names that end in `_now` go up and down, all others only grow.
---
---@return table<string, integer>
function mesh.metrics() end

---@class perilune.Self
---@field id string
---@field name string
---@field addresses string[]
---@field version string
---@field started number Seconds since 1970.
---@field generation integer

---@class perilune.Context
---@field action string
---@field caller { id: string, name: string, identity: any }
---@field meta table
---@field priority 'high'|'normal'|'low'
---@field deadline number? On the clock of `mesh.now()`.
---@field stream boolean Whether the caller wants chunks.
---@field trace_id string 32 hexadecimal digits, the same in all calls that one first call led to.

---@class perilune.Task
---@field status 'ready'|'running'|'waiting'|'done'|'failed'|'cancelled'
local Task = {}

--- Waits for the end of the task; returns its results or raises its error.
---
---@return any ...
function Task:await() end

--- Breaks the task off.
function Task:cancel() end

--- Moves to another node as an argument, in a chunk or as a result; then this handle is of no more use.
---
---@class perilune.Stream
---@operator call: any
local Stream = {}

--- Waits for the next chunk: true and its values; false when the stream has ended.
---
---@return boolean more
---@return any ...
function Stream:next() end

--- What the action returned. Discards the chunks that nobody has read.
---
---@return any ...
function Stream:result() end

--- Cancels the producer, unless the stream has ended.
function Stream:close() end

--- Sends a chunk to the handler, which reads it with `mesh.input()`. Waits while the handler is slower.
---
---@param ... any
---@return boolean taken False when the handler reads no more.
function Stream:send(...) end

--- The same without waiting. `BUSY` when far too much waits.
---
---@param ... any
---@return boolean more False when so much waits that the next should wait for `drain`.
function Stream:post(...) end

--- Waits until little of what was posted waits.
---
---@return boolean more False when the handler reads no more.
function Stream:drain() end

--- Sends what an iterator gives, the values of a generic `for`, and then finishes. It ends early when the handler
--- reads no more.
---
---@param step fun(state: any, control: any): ...: any
---@param state any
---@param control any
function Stream:feed(step, state, control) end

--- Says that nothing more will be sent.
function Stream:finish() end

--- What the handler said of the stream with `mesh.info`, before its first chunk; nil when it said nothing.
---
---@return any
function Stream:info() end

--- Cancels, and tells the handler why.
---
---@param reason string Of which 255 bytes travel.
function Stream:abort(reason) end

--- Breaks the stream off: who reads or sends from now on gets this error.
---
---@param err any
function Stream:fail(err) end

---@class perilune.Input
---@operator call: any
local Input = {}

--- Tells the caller to send no more.
function Input:close() end

--- Values by key. A table that is read is a view: it cannot be written into.
---@class perilune.State
---@field [string] any
local State = {}

--- Writes a value; nil removes the key. With `ttl`, in seconds, it goes by itself.
---
---@param key string
---@param value any
---@param options { ttl: number? }?
function State:set(key, value, options) end

--- Changes a value by what it was, in one step over all VMs: `fn` must not wait, and may be called again. It may change
--- the table that it is given. Nil removes the key.
---
---@param key string
---@param fn fun(old: any): any
---@return any new
function State:update(key, fn) end

--- Adds to a number, 0 when there is none.
---
---@param key string
---@param by number? 1 by default.
---@return number sum
function State:incr(key, by) end

--- Writes `new` if the value is equal to `old`, where nil is a key that is not there.
---
---@param key string
---@param old any
---@param new any
---@return boolean
function State:cas(key, old, new) end

--- The keys, in the order in which they came.
---
---@return string[]
function State:keys() end

--- Removes all keys.
function State:clear() end

---@class perilune.OpenStream
---@field action string
---@field node string id of the other end; of one that passes through, that of the neighbour it comes from
---@field name string its name
---@field direction 'in'|'out'|'through' whether the chunks come or go
---@field to string? of one that passes through: id of the neighbour to which they go on
---@field to_name string? its name
---@field chunks integer
---@field bytes integer
---@field credit { chunks: integer, bytes: integer }
---@field waits_for 'producer'|'consumer'|'link'
---@field waited number

---@class perilune.Error
---@field code string
---@field message string
---@field outcome 'not_sent'|'not_executed'|'executed'|'unknown'
---@field action string?
---@field node string? The id of the node where it arose.
---@field trace_id string? As in the context of the call.
---@field traceback string?
---@field cause perilune.Error?
---@field details any
---@field retry_after number? Seconds.
