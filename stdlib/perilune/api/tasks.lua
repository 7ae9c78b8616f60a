--- What perilune has for tasks, generations and values: see perilune.api.

return {
  functions = {
    {
      name = 'spawn',
      text = 'Starts `fn(...)` as a task of its own. It inherits the context of the running task, not its '
        .. 'deadline.',
      params = {
        { 'fn', 'fun(...: any): ...: any' },
        { '...', 'any' },
      },
      returns = { { 'perilune.Task' } },
    },
    {
      name = 'all',
      text = 'Waits until all tasks are done. The first error cancels the rest and is raised.',
      params = {
        { 'tasks', 'perilune.Task[]' },
      },
      returns = { { 'any[]', 'results', 'The first result of each task, in the order of `tasks`.' } },
      example = [[
local function double(n)
  mesh.sleep(0.01)
  return n * 2
end

local results = mesh.all { mesh.spawn(double, 1), mesh.spawn(double, 2) }
print(results[1], results[2])
]],
      prints = '2\t4',
    },
    {
      name = 'race',
      text = 'Waits until one of the tasks ends, cancels the others, and returns its results or raises its '
        .. 'error.',
      params = {
        { 'tasks', 'perilune.Task[]' },
      },
      returns = { { 'any', '...' } },
      example = [[
local function after(seconds, text)
  mesh.sleep(seconds)
  return text
end

print(mesh.race { mesh.spawn(after, 60, 'slow'), mesh.spawn(after, 0.01, 'fast') })
]],
      prints = 'fast',
    },
    {
      name = 'scope',
      text = "Runs `fn(scope, ...)` in the caller's task, and then waits for the tasks that it spawned in "
        .. 'the scope. When one of them fails, `fn` and the others are cancelled, and its error is '
        .. 'raised.',
      params = {
        { 'fn', 'fun(scope: perilune.Scope, ...: any): ...: any' },
        { '...', 'any' },
      },
      returns = { { 'any', '...', 'What `fn` returned.' } },
      example = [[
local done = 0
mesh.scope(function(scope)
  for _ = 1, 3 do
    scope:spawn(function() done = done + 1 end)
  end
end)
print(done)
]],
      prints = '3',
    },
    {
      name = 'timeout',
      text = "Runs `fn(...)` in the caller's task; what it waits for after `seconds` ends with `TIMEOUT`.",
      params = {
        { 'seconds', 'number' },
        { 'fn', 'fun(...: any): ...: any' },
        { '...', 'any' },
      },
      returns = { { 'any', '...' } },
      errors = {
        'TIMEOUT',
      },
      example = [[
local ok, err = pcall(mesh.timeout, 0.01, mesh.sleep, 60)
print(ok, err.code)
]],
      prints = 'false\tTIMEOUT',
    },
    {
      name = 'sleep',
      text = 'Waits for `seconds`; 0 lets the other tasks run.',
      params = {
        { 'seconds', 'number' },
      },
    },
    {
      name = 'after',
      text = 'Runs `fn(...)` in `seconds`, in a task of its own.',
      params = {
        { 'seconds', 'number' },
        { 'fn', 'fun(...: any)' },
        { '...', 'any' },
      },
      returns = { { 'perilune.Task', 'task', 'To cancel it.' } },
      example = [[
mesh.after(0.01, print, 'later'):await()
]],
      prints = 'later',
    },
    {
      name = 'every',
      text = 'Runs `fn(...)` every `seconds`, never two at once, until the task is cancelled. A run that '
        .. 'takes longer skips the turns it missed; an error is logged and does not stop it.',
      params = {
        { 'seconds', 'number' },
        { 'fn', 'fun(...: any)' },
        { '...', 'any' },
      },
      returns = { { 'perilune.Task', 'task', 'To cancel it.' } },
    },
    {
      name = 'now',
      text = 'Seconds on a clock that never jumps. Only differences mean something.',
      returns = { { 'number' } },
    },
    {
      name = 'offload',
      text = 'Has work that only computes done in another VM on a thread of its own, away from the loop, '
        .. 'and waits for its results in this task: `mesh.offload(module, name, …)` for a function of a '
        .. 'module, or `mesh.offload(fn, …)` for a function that uses no local around it. There the mesh '
        .. 'is not available, nor anything to wait for.',
      params = {
        { 'module', 'string|fun(...: any): ...: any' },
        { 'name', 'any' },
        { '...', 'any' },
      },
      returns = { { 'any', '...' } },
      errors = {
        'CPU_LIMIT: longer than `offload_cpu_limit`',
        'MEMORY_LIMIT',
        'INVALID: a value that cannot travel',
      },
      example = [[
print(mesh.offload(function(n)
  local sum = 0
  for i = 1, n do sum = sum + i end
  return sum
end, 1000000))
]],
      prints = '500000500000',
    },
    {
      name = 'reload',
      text = 'Loads the script anew beside the version that serves, and puts it in its place. Raises when '
        .. 'it cannot be loaded: then the old version goes on. A call that asks for it finishes in the '
        .. 'version in which it began.',
      returns = { { 'perilune.Reloaded' } },
      errors = {
        'the error of the new version',
      },
    },
    {
      name = 'on_unload',
      text = 'What `fn` returns is handed over to the next version, which gets it in `mesh.on_load`. It '
        .. 'runs when the next version has loaded, and while this one still serves. Once in a script.',
      params = {
        { 'fn', 'fun(): ...: any' },
      },
    },
    {
      name = 'on_load',
      text = '`fn` gets what the version before has handed over, and runs before this one serves. When it '
        .. 'fails, this one never does. It does not run when the script starts. Once in a script.',
      params = {
        { 'fn', 'fun(...: any)' },
      },
    },
    {
      name = 'on_close',
      text = '`fn` runs when the last call that this version serves is over, after another has taken its '
        .. 'place. Of several the last comes first.',
      params = {
        { 'fn', 'fun()' },
      },
    },
    {
      name = 'bytes',
      text = 'Marks a string as binary, which valid UTF-8 would not be.',
      params = {
        { 's', 'string' },
      },
      returns = { { 'userdata' } },
    },
    {
      name = 'array',
      text = 'Marks a table as an array of `n` elements, or of its length, and returns it.',
      params = {
        { 't', 'table' },
        { 'n', 'integer?' },
      },
      returns = { { 'table' } },
      example = [[
mesh.action('empty', function() return mesh.array {} end)
print(#mesh.call 'empty')
]],
      prints = '0',
    },
    {
      name = 'sim',
      text = 'A mesh of scripts in this process, in virtual time, with faults on demand: see perilune.sim.',
      params = {
        { 'options', 'perilune.sim.Options?' },
      },
      returns = { { 'perilune.sim.Net' } },
    },
  },
}
