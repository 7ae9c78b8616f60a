--- The files of a new client, by path; `$NAME` stands for its name.

return {
  next = {
    'perilune test',
    'perilune run client.lua --config node.json -- Ada Bob',
  },
  last = "its service, in another terminal:   perilune new greeter   and then what that says",

  files = {
    ['client.lua'] = [[
--- Calls a service of the mesh, and ends. Names are its arguments:
---   perilune run client.lua --config node.json -- Ada Bob

local mesh = require 'perilune'
local greetings = require 'greetings'

mesh.wait('greet', 5) -- for somebody who provides it

for _, line in ipairs(greetings.of(arg)) do print(line) end
greetings.count(5, print)
]],

    ['greetings.lua'] = [[
--- What $NAME wants of the mesh.

local mesh = require 'perilune'

local M = {}

--- The greetings of all names, which are asked for at once.
---
---@param names string[]
---@return string[]
function M.of(names)
  local calls = {}
  for i, name in ipairs(names) do calls[i] = mesh.spawn(mesh.call, 'greet', name) end
  return mesh.all(calls)
end

--- Hands each number to `fn` as it comes, and returns the result of the stream.
---
---@param max integer
---@param fn fun(number: integer)
---@return string
function M.count(max, fn)
  local stream <close> = mesh.stream('count', max)
  for i in stream do fn(i) end
  return stream:result()
end

return M
]],

    ['spec/greetings_spec.lua'] = [[
local mesh = require 'perilune'
local test = require 'perilune.test'
local greetings = require 'greetings'

describe('$NAME', function()
  it('asks for all greetings', function()
    local greet = test.fake('greet', function(name) return 'hello, ' .. name end)
    assert.same({ 'hello, Ada', 'hello, Bob' }, greetings.of { 'Ada', 'Bob' })
    assert.equal(2, #greet:calls())
  end)

  it('raises what one of them raises', function()
    test.fake('greet', function(name)
      if name == '' then error { code = 'NO_NAME' } end
      mesh.sleep(60)
    end)
    local ok, err = pcall(greetings.of, { 'Ada', '' })
    assert.is_false(ok)
    assert.equal('NO_NAME', err.code)
  end)

  it('hands on numbers as they come', function()
    test.fake('count', function(max)
      for i = 1, max do coroutine.yield(i) end
      return 'done'
    end)
    local seen = {}
    assert.equal('done', greetings.count(3, function(i) seen[#seen + 1] = i end))
    assert.same({ 1, 2, 3 }, seen)
  end)
end)
]],

    ['node.json'] = [[
{
  "name": "$NAME",
  "request_timeout": 5,
  "log_level": "warn"
}
]],

    ['README.md'] = [[
# $NAME

A client of a perilune mesh. It calls `greet` and `count`, which a service made by `perilune new` provides.

    perilune test                                            # runs spec/, with stand-ins for the service
    perilune run client.lua --config node.json -- Ada Bob

Without `--peer` it finds the nodes of the same user on this machine. Elsewhere:

    perilune run client.lua --config node.json --peer tcp://192.168.1.10:4100 --psk mesh.key -- Ada Bob

`node.json` has the options of the node; `perilune help run` lists them all.
]],
  },
}
