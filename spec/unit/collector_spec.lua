--- lua/sched.c: how far what a VM uses may grow before the collector begins.

local script = require 'spec.support.script'
local new_alloc = require('perilune.testing').lua.new_alloc

local MIB = 1024 * 1024

--- Peaks in times what lives: of a script that keeps so many KiB of small objects and so many strings of 1 MiB, for
--- each pair of numbers that it is given, and meanwhile makes garbage.
local SOURCE = [[
  local function peak(small, large)
    local kept = {}
    for i = 1, large do kept[i] = ('x'):rep(1024 * 1024 - 64) .. i end
    collectgarbage()
    while collectgarbage 'count' < small + large * 1024 do kept[#kept + 1] = { 1, 2, 3, 4 } end
    mesh.sleep(0.001)
    collectgarbage()
    local lives, most = collectgarbage 'count', 0
    repeat
      local before = collectgarbage 'count'
      most = math.max(most, before)
      local _ = { 1, 2, 3, 4 }
    until collectgarbage 'count' < before
    return ('%.1f'):format(most / lives)
  end
  local peaks = {}
  for small, large in (...):gmatch '(%d+)%+(%d+)' do peaks[#peaks + 1] = peak(small, large) end
  return table.concat(peaks, ' ')
]]

-- The address sanitizer sees single blocks: there nothing is small.
local function is_pooled()
  local a <close> = new_alloc()
  a:take(1, 64)
  return a:mapped() > 0
end

describe('the collector of a VM', function()
  after_each(script.close_all)

  --- "small + large" in KiB and MiB, several of them one after the other.
  local function peaks(lives, memory_limit)
    return script.eval(('return (function(...) %s end)(%q)'):format(SOURCE, lives), { memory_limit = memory_limit })
  end

  it('lets what is small grow to a multiple before it begins', function()
    assert.equal('6.0', peaks '300+0')
    assert.equal('6.0', peaks '480+0')
    assert.equal('3.0', peaks '560+0')
    assert.equal('3.0', peaks '900+0')
  end)

  if is_pooled() then
    it('lets more than a MiB of small objects double', function()
      assert.equal('2.0', peaks '1800+0')
      assert.equal('2.0', peaks '1800+4')
    end)
  end

  it('does not mind long strings, of which it marks the heads only, up to 16 MiB', function()
    assert.equal('3.0', peaks '600+1')
    assert.equal('3.0', peaks '600+14')
    assert.equal('2.0', peaks '600+16')
  end)

  it('lets what is an eighth of the limit double', function()
    assert.equal('6.0', peaks('300+0', 4 * MIB))
    assert.equal('2.0', peaks('300+0', 2 * MIB))
    assert.equal('3.0', peaks('600+4', 64 * MIB))
    assert.equal('2.0', peaks('600+4', 16 * MIB))
  end)

  it('follows a script that takes more and lets go again', function()
    assert.equal('6.0 2.0 3.0 6.0', peaks '300+0 600+16 600+0 300+0')
  end)
end)
