--- Scripts of nodes that give streams away and receive them. A script that loses its turn in the midst of its actions
--- may be known by the first of them only: who uses others, too, waits for the last, `bulk` and `measure`.

local M = {}

-- luacheck: globals mesh report held, ignore 211/guard 431

function M.producer()
  mesh.action('count', function(n)
    local guard <close> = setmetatable({}, { __close = function(_, err) report(err and err.code or 'closed') end })
    for i = 1, n do coroutine.yield(i, 'of ' .. n) end
    return 'done', n
  end)
  mesh.action('fail', function()
    coroutine.yield(1)
    error { code = 'OUT_OF_STOCK', message = 'no more', details = { left = 0 } }
  end)
  mesh.action('echo', function(prefix)
    mesh.info { prefix = prefix }
    for text in mesh.input() do coroutine.yield(prefix .. text) end
    return 'heard all'
  end)
  mesh.action('endless', function()
    local guard <close> = setmetatable({}, { __close = function(_, err) report(err and err.code or 'closed') end })
    for i = 1, math.huge do coroutine.yield(i) end
  end)
  mesh.action('silent', function()
    local guard <close> = setmetatable({}, { __close = function(_, err) report(err and err.code or 'closed') end })
    mesh.sleep(1000)
  end)
  mesh.action('bulk', function(blocks, size)
    for i = 1, blocks do coroutine.yield(('%08d'):format(i):rep(size // 8)) end
    return blocks
  end)
end

function M.consumer()
  mesh.action('sum', function(name, s)
    local total = 0
    for i in s do total = total + i end
    return name, total, s:result()
  end)
  mesh.action('first', function(s) return select(2, s:next()) end)
  mesh.action('ignore', function() return 'ignored' end)
  mesh.action('refuse', function() error { code = 'NOPE' } end)
  mesh.action('keep', function(s)
    held = s
    mesh.sleep(1000)
  end)
  mesh.action('through', function(s) return s end)
  mesh.action('first and through', function(s)
    s:next()
    return s
  end)
  mesh.action('talk', function(t)
    local s = t.deep[1].stream
    local said = {}
    said[1] = s:info().prefix
    for i = 1, 3 do
      s:send('word ' .. i)
      said[#said + 1] = select(2, s:next())
    end
    s:finish()
    said[#said + 1] = s:result()
    return said
  end)
  mesh.action('measure', function(s)
    local bytes, blocks = 0, 0
    for block in s do
      bytes, blocks = bytes + #block, blocks + 1
      if tonumber(block:sub(1, 8)) ~= blocks then error 'out of order' end
    end
    return bytes, s:result()
  end)
end

return M
