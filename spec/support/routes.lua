--- Worlds of routers for unit specs, and what their tables should be.

local assert = require 'luassert'
local testing = require 'perilune.testing'
local route, mem = testing.route, testing.base.mem

local M = {}

function M.id(n) return ('\0'):rep(14) .. string.char(n >> 8, n & 255) end

--- A world whose nodes 1 to n are members.
function M.world(n, options)
  local w = route.world(n, options or {})
  for i = 1, n do
    w:start(i)
    w:join(i)
  end
  return w
end

--- A world in which only the first `members` of n are members, and the others leaves.
function M.partly(n, members)
  local w = route.world(n, {})
  for i = 1, n do w:start(i) end
  for i = 1, members do w:join(i) end
  return w
end

function M.line(n, options)
  local w = M.world(n, options)
  for i = 2, n do w:link(i - 1, i) end
  w:advance(0.2)
  return w
end

--- What every node should know of the ways to the others: links as rows {a, b, cost}. A relay goes 15 links where it
--- can, and else 16.
function M.check_tables(w, n, rows, up)
  local links = {}
  for _, row in ipairs(rows) do
    for _, v in ipairs { row[1], row[2], row[3] or 1000, row[2], row[1], row[3] or 1000 } do links[#links + 1] = v end
  end
  for a = 1, n do
    if not up or up[a] then
      local all = route.paths(n, links, a, {}, 16, 15)
      for b = 1, n do
        local hops, cost, via = w:route(a, b)
        local want = (not up or up[b]) and all[b] and all[b].hops <= 16 and all[b] or nil
        assert.same(want and { want.hops, want.cost }, hops and { hops, cost }, ('from %d to %d'):format(a, b))
        if want and a ~= b then
          assert.equal(want.next[1], via)
          assert.same(want.next, w:next(a, b))
        end
      end
    end
  end
end

--- A group of specs; the world that one gave to `over.keep` last is freed after it, others before. No
--- memory may be left.
---
---@param text string
---@param body fun(over: { keep: fun(w: userdata): userdata })
function M.describe(text, body)
  local busted = require 'busted'
  busted.describe(text, function()
    local over, kept, live = {}, nil, nil
    function over.keep(w)
      if kept then kept:free() end
      kept = w
      return w
    end
    busted.before_each(function() live = mem.live() end)
    busted.after_each(function()
      if kept then kept:free() end
      kept = nil
      assert.equal(live, mem.live(), 'blocks of memory that were not given back')
    end)
    body(over)
  end)
end

return M
