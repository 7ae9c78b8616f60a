local on_loop = require 'spec.support.on_loop'

local run = on_loop.run

describe('perilune.test', function()
  it('waits until something comes true', function()
    assert.equal('yes', (run [[
      local test = require 'perilune.test'
      local done
      task.spawn(function() task.sleep(0.02) done = 'yes' end)
      return test.eventually(function() return done end)
    ]]))
  end)

  it('raises what was raised last, or that it did not come true', function()
    local test = "local test, o = require 'perilune.test', { timeout = 0.02, interval = 0.001 } "
    assert.equal('mine', (run(test .. "return catch(test.eventually, function() error('mine', 0) end, o)")))
    assert.truthy(run(test .. 'return catch(test.eventually, function() end, o)'):find 'did not come true')
  end)

  it('makes folders that vanish', function()
    assert.same({ true, 'text', false }, { run [[
      local test = require 'perilune.test'
      local path, there, text
      do
        local dir <close> = test.temp_dir { ['a/b.txt'] = 'text' }
        path, there, text = dir.path, fs.exists(dir.path), fs.read(dir.path .. '/a/b.txt')
      end
      return there, text, fs.exists(path)
    ]] })
  end)
end)
