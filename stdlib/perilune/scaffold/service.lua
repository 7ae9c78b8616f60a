--- The files of a new service, by path; `$NAME` stands for its name.

return {
  next = {
    'perilune test',
    'perilune run service.lua --config node.json --watch',
  },
  elsewhere = {
    [[perilune call greet '"Ada"']],
    'perilune stream count 5',
  },
  last = 'What you save in service.lua serves at once. A node that calls it:   perilune new asker --template client',

  files = {
    ['service.lua'] = [[
--- What $NAME provides.
---   perilune run service.lua --config node.json --watch
---   perilune call greet '"Ada"'        perilune stream count 5

local mesh = require 'perilune'

mesh.action('greet', function(name)
  if name == '' then error { code = 'NO_NAME', message = 'an empty name cannot be greeted' } end
  return ('hello, %s'):format(name)
end, { params = { 'string' }, returns = { 'string' }, description = 'greets by name' })

--- Each yield is a chunk, which the caller has while this goes on. When the caller leaves, this ends at its next wait.
mesh.action('count', function(max)
  for i = 1, max do
    coroutine.yield(i)
    mesh.sleep(0.1)
  end
  return 'done'
end, { params = { { type = 'int', min = 0 } }, chunks = { 'int' },
  description = 'counts, a number each tenth of a second' })
]],

    ['spec/service_spec.lua'] = [[
local mesh = require 'perilune'
local test = require 'perilune.test'

describe('$NAME, in the node of the specs', function()
  setup(function() require 'service' end)

  it('greets', function()
    assert.equal('hello, Ada', mesh.call('greet', 'Ada'))
  end)

  it('says what it needs', function()
    local ok, err = pcall(mesh.call, 'greet')
    assert.is_false(ok)
    assert.same({ 'INVALID', 'args[1]' }, { err.code, err.details.path })
    ok, err = pcall(mesh.call, 'greet', '')
    assert.is_false(ok)
    assert.equal('NO_NAME', err.code)
  end)
end)

describe('$NAME, in a mesh in virtual time', function()
  local net

  before_each(function()
    net = test.mesh { nodes = { service = test.script 'service.lua', client = true } }
  end)

  it('counts, a number each tenth of a second', function()
    local began = net:now()
    local numbers, result = net.client:eval(function()
      local list, stream <close> = {}, mesh.stream('count', 100)
      for i in stream do list[#list + 1] = i end
      return list, stream:result()
    end)
    assert.equal(100, #numbers)
    assert.equal('done', result)
    assert.near(10, net:now() - began, 0.1)
  end)

  it('stops when its caller leaves', function()
    net.client:eval(function()
      for i in mesh.stream('count', 1000000) do
        if i == 3 then break end
      end
    end) -- the test fails if something is left open
  end)
end)
]],

    ['node.json'] = [[
{
  "name": "$NAME",
  "request_timeout": 10,
  "log_level": "info"
}
]],

    ['README.md'] = [[
# $NAME

A service for a perilune mesh.

    perilune test                                          # runs spec/
    perilune check service.lua                             # looks for mistakes without running it
    perilune run service.lua --config node.json --watch    # serves, and reloads what is saved

From another terminal of the same user:

    perilune call greet '"Ada"'
    perilune stream count 5
    perilune actions

A script that calls it, in a node of its own:

    perilune new asker --template client

Without `--listen` and `--peer` all nodes of one user on one machine find each other. Between machines, one listens and
the others dial it; both have the same key in a file:

    head -c 32 /dev/urandom | base64 > mesh.key; chmod 600 mesh.key
    perilune run service.lua --config node.json --listen tcp://192.168.1.10:4100 --psk mesh.key
    perilune call greet '"Ada"' --peer tcp://192.168.1.10:4100 --psk mesh.key

`node.json` has the options of the node; `perilune help run` lists them all.
]],
  },
}
