-- Two nodes in virtual time. In this folder's parent:   perilune test spec/hello_spec.lua
local test = require 'perilune.test'

describe('hello.lua', function()
  local net

  before_each(function()
    net = test.mesh { nodes = { greeter = test.script 'hello.lua', client = true } }
  end)

  it('adds', function()
    assert.equal(5, net.client:call('add', 2, 3))
  end)

  it('counts, a number each tenth of a second', function()
    local began = net:now()
    local seen, result = net.client:eval(function()
      local stream <close>, list = mesh.stream('count', 30), {}
      for i in stream do list[#list + 1] = i end
      return list, stream:result()
    end)
    assert.equal(30, #seen)
    assert.equal('done', result)
    assert.near(3, net:now() - began, 0.05)
  end)

  it('stops counting when its reader leaves', function()
    net.client:eval(function()
      for i in mesh.stream('count', 1000000) do
        if i == 3 then break end
      end
    end) -- the end of the test fails if a handler is left
  end)

  it('tells its caller what it cannot add', function()
    local ok, err = pcall(net.client.call, net.client, 'add', 1, {})
    assert.is_false(ok)
    assert.equal('HANDLER_ERROR', err.code)
    assert.equal('executed', err.outcome)
  end)
end)
