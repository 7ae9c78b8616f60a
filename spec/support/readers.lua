--- Nodes that read what their callers send, for functional specs.

-- luacheck: globals mesh report, ignore 211/guard

local M = {}

--- Under sanitizers all takes longer, and less must do.
M.PATIENT = (tonumber(os.getenv 'PERILUNE_SPEC_PATIENCE') or 1) > 1
M.WINDOW_BYTES = 256 * 1024

--- The script of one.
function M.script()
  local function guarded() return setmetatable({}, { __close = function() report 'closed' end }) end
  mesh.action('collect', function(...)
    local all = {}
    for a, b in mesh.input() do all[#all + 1] = { a == mesh.null and 'null' or a, b } end
    return all, ...
  end)
  mesh.action('echo', function()
    for a, b in mesh.input() do coroutine.yield(a, b) end
    return 'bye'
  end)
  mesh.action('sum', function()
    local sum, bytes, n = 0, 0, 0
    for block, pause in mesh.input() do
      n, bytes = n + 1, bytes + #block
      sum = (sum * 31 + block:byte(1) + block:byte(-1)) % 1000000007
      if pause then mesh.sleep(pause) end
    end
    return n, bytes, sum
  end)
  mesh.action('first', function(n)
    local guard <close> = guarded()
    local got = 0
    if n > 0 then
      for _ in mesh.input() do
        got = got + 1
        if got == n then break end
      end
    end
    report 'left'
    mesh.sleep(0.02)
    coroutine.yield 'more'
    return got
  end)
  mesh.action('deaf', function()
    mesh.sleep(0.05)
    return 'never read'
  end)
  mesh.action('waits', function()
    local guard <close> = guarded()
    report 'began'
    local ok, err = pcall(function()
      for chunk in mesh.input() do report('chunk', chunk) end
      report 'ended'
    end)
    if not ok then report('broken', err.code) end
    error(err, 0)
  end)
  mesh.action('fails', function()
    mesh.input()()
    error { code = 'FULL', message = 'no room' }
  end)
  mesh.action('nested', function()
    local numbers = coroutine.wrap(function()
      for n in mesh.input() do
        coroutine.yield(n)
        coroutine.yield(-n)
      end
    end)
    local list = {}
    for n in numbers do list[#list + 1] = n end
    return list
  end)
  mesh.action('header', function()
    local input = mesh.input()
    local head = input()
    local n = 0
    for _ in input do n = n + 1 end
    return head, n, input() == nil, mesh.input()() == nil
  end)
  mesh.action('plain', function(...) return ... end)
end

--- A mesh of two: the net, a node without actions, and the one that reads, to which it is linked.
function M.pair(over)
  local b = over.net:node('b', {}, M.script)
  return over.net, over.net:node('a', { peers = { b } }), b
end

return M
