local on_loop = require 'spec.support.on_loop'

local run, fails = on_loop.run, on_loop.fails

describe('perilune.dns', function()
  it('resolves names and addresses', function()
    local list = run "return require('perilune.dns').resolve 'localhost'"
    assert.is_true(list[1] == '127.0.0.1' or list[1] == '::1')
    assert.same({ '127.0.0.1' }, (run "return require('perilune.dns').resolve('localhost', { family = 'ipv4' })"))
    assert.same({ '192.0.2.1' }, (run "return require('perilune.dns').resolve '192.0.2.1'"))
    assert.same({ '2001:db8::1' }, (run "return require('perilune.dns').resolve '2001:db8::1'"))
  end)

  it('names the name that there is not', function()
    local code, message, errno = run "return catch(require('perilune.dns').resolve, 'no such name')"
    assert.equal('IO_ERROR', code)
    assert.truthy(message:find '^resolve no such name: ')
    assert.truthy(errno:find '^EAI_')
  end)

  it('finds the name of an address', function()
    assert.truthy(run "return require('perilune.dns').reverse '127.0.0.1'":find '%a')
    assert.truthy(fails("require('perilune.dns').reverse 'x'"):find "^script:1: .*'x' is not an address")
  end)

  it('refuses what it does not know', function()
    assert.truthy(fails("require('perilune.dns').resolve('x', { family = 'ipx' })"):find "^script:1: option 'family'")
    assert.truthy(fails("require('perilune.dns').resolve(1)"):find '^script:1: bad argument #1')
  end)
end)
