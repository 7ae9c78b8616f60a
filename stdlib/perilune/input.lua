--- The option `input` of mesh.with: what an iterator gives is sent while the call goes on.

local group = require 'perilune.core.group'
local tasks = require 'perilune.core.task'

local M = {}

local function is_callable(value)
  if type(value) == 'function' then return true end
  local meta = getmetatable(value)
  return type(meta) == 'table' and meta.__call ~= nil
end

--- The values of a generic `for` from an iterator: a function, something else that can be called, or a list of such
--- values as `pairs` and its like return them. Raises at `level` of `error`, naming `what`.
---
---@return { [1]: function, [2]: any, [3]: any, [4]: any }
function M.iterator(input, what, level)
  if is_callable(input) then return { input } end
  if type(input) == 'table' and is_callable(input[1]) then return input end
  error(('%s: iterator expected, got %s'):format(what, type(input)), level)
end

local function feed(stream, iterator)
  local closing <close> = iterator[4] -- luacheck: ignore 211
  stream:feed(iterator[1], iterator[2], iterator[3])
end

--- The result of a call that is fed beside it. An error of the iterator ends the call, and is raised.
function M.call(open, iterator, name, ...)
  local stream <close> = open(name, ...)
  local holder <close> = setmetatable({ group.new() }, {
    __close = function(holder)
      holder[1]:cancel()
      while holder[1]:next() do end
    end,
  })
  holder[1]:add(tasks.spawn_child(feed, stream, iterator))
  -- Not a tail call: the variables above are closed after it.
  local results = table.pack(holder[1]:run(stream.result, stream))
  return table.unpack(results, 1, results.n)
end

--- A stream that is fed beside it, as long as the task goes on that opened it. An error of the iterator ends the
--- stream, and is raised to its reader.
function M.stream(open, iterator, name, ...)
  local stream, none, first, closing = open(name, ...)
  tasks.spawn_child(function()
    local ok, err = pcall(feed, stream, iterator)
    if not ok then stream:fail(err) end
  end)
  return stream, none, first, closing
end

return M
