-- Transfers of files that break off, at either end: what is told, and what is left.

local lfs = require 'lfs'
local transfers = require 'spec.support.transfers'

-- luacheck: globals mesh report files fs, ignore 431

local MIB = 1024 * 1024

local bytes, put, get, list, sha256 = transfers.bytes, transfers.put, transfers.get, transfers.list, transfers.sha256
local descriptors = transfers.descriptors

transfers.describe('transfers that break off', function(world)
  local net, there, here, a, b, open

  before_each(function() net, there, here, a, b = world.net, world.there, world.here, world.a, world.b end)

  before_each(function()
    put(there .. '/f', bytes(3 * MIB))
    put(here .. '/f', bytes(3 * MIB))
    open = descriptors()
  end)

  local STOP = "if done >= 1048576 then error { code = 'ENOUGH', message = 'enough of it' } end"

  for _, verb in ipairs { 'download', 'upload' } do
    local function part() return (verb == 'download' and here or there) .. '/.f.part' end
    local function target() return verb == 'download' and here or there end

    it('leave nothing: ' .. verb, function()
      os.remove(target() .. '/f')
      assert.equal('ENOUGH', world:disturbed(verb, 'f', STOP).code)
      net:wait(function() return list(target())[1] == nil end, 'the end of the part')
      world:assert_nothing_left(open)
      assert.matches(verb .. ' broken off.*enough of it.*file=f', net:log())
    end)

    it('are resumed where they were: ' .. verb, function()
      os.remove(target() .. '/f')
      assert.equal('ENOUGH', world:disturbed(verb, 'f', STOP, { resume = true }).code)
      world:wait_for_end(open)
      assert.same({ '.f.part' }, list(target()))
      local size = lfs.attributes(part(), 'size')
      assert.is_true(size > 0 and size < 3 * MIB, size)
      local again = world:disturbed(verb, 'f', '', { resume = true })
      assert.same({ 3 * MIB, size }, { again.size, again.first }, again.message)
      assert.equal(again.sha256, sha256(there .. '/f'))
      assert.equal(again.sha256, sha256(here .. '/f'))
      world:assert_nothing_left(open)
    end)

    it('begin anew when the part does not fit: ' .. verb, function()
      for _, left in ipairs { 'something else', ('x'):rep(7 * MIB), '' } do
        put(part(), left)
        local got = world:disturbed(verb, 'f', '', { resume = true })
        assert.same({ 3 * MIB, 0 }, { got.size, got.first }, got.message)
        assert.equal(got.sha256, sha256(target() .. '/f'))
      end
      put(part(), bytes(3 * MIB))
      local got = world:disturbed(verb, 'f', '', { resume = true })
      assert.same({ 3 * MIB, 3 * MIB }, { got.size, got.first }, 'all was there')
      put(part(), 'left by another')
      got = world:disturbed(verb, 'f', '')
      assert.same({ 3 * MIB, 0 }, { got.size, got.first }, 'not asked to resume')
      world:assert_nothing_left(open)
    end)

    for how, change in pairs {
      ['is cut'] = [[
        if done < 65536 then return end
        for _, dir in ipairs { there, here } do
          local f <close> = io.open(dir .. '/f', 'wb')
          f:write 'short'
        end
      ]],
      ['grows'] = [[
        if done > 65536 then return end
        for _, dir in ipairs { there, here } do
          local f <close> = io.open(dir .. '/f', 'ab')
          f:write 'more'
        end
      ]],
      ['vanishes'] = [[
        if done < 65536 then return end
        os.remove(there .. '/f')
        os.remove(here .. '/f')
      ]],
      ['is replaced'] = [[
        if done ~= 65536 then return end
        for _, dir in ipairs { there, here } do
          local f <close> = io.open(dir .. '/g', 'wb')
          f:write(('x'):rep(3 * 1024 * 1024))
          os.rename(dir .. '/g', dir .. '/f')
        end
      ]],
      ['is written to'] = [[
        if done ~= 65536 then return end
        for _, dir in ipairs { there, here } do
          local f <close> = io.open(dir .. '/f', 'r+b')
          f:write 'other'
        end
      ]],
    } do
      it(('tell both ends when the file %s: %s'):format(how, verb), function()
        local got = world:disturbed(verb, 'f', change)
        assert.same({ false, 'CHANGED', 'executed' }, { got.ok, got.code, got.outcome })
        assert.matches('f: it', got.message)
        world:assert_nothing_left(open)
        assert.matches(verb == 'upload' and 'upload broken off.*CHANGED' or 'handler failed.*CHANGED', net:log())
        local rest = list(target())
        assert.is_true(#rest <= 1 and rest[1] ~= '.f.part')
        if rest[1] then assert.not_equal(get(target() .. '/f'), bytes(3 * MIB):sub(1, -2), 'no half file') end
      end)
    end

    it('tell both ends when what is written vanishes: ' .. verb, function()
      os.remove(target() .. '/f')
      local got = world:disturbed(verb, 'f', [[
        if done < 65536 then return end
        os.remove(there .. '/.f.part')
        os.remove(here .. '/.f.part')
      ]])
      local name = verb == 'download' and here .. '/f' or 'f' -- of the other machine no path is told
      assert.same({ 'CHANGED', name .. ': its part was removed while it was written' }, { got.code, got.message })
      world:assert_nothing_left(open)
      assert.same({}, list(target()))
    end)

    it('leave alone a part that another made meanwhile: ' .. verb, function()
      os.remove(target() .. '/f')
      local got = world:disturbed(verb, 'f', [[
        if done ~= 65536 then return end
        for _, dir in ipairs { there, here } do
          os.remove(dir .. '/.f.part')
          local f <close> = io.open(dir .. '/.f.part', 'wb')
          f:write 'mine'
        end
      ]])
      assert.equal('CHANGED', got.code)
      assert.equal('mine', get(part()))
      net:wait(function() return net:metrics().requests_now == 0 end, 'the end of the handler')
      assert.same({ '.f.part' }, list(target()))
    end)
  end

  it('with the link: the error says so, and what has come stays if it is wanted', function()
    os.remove(here .. '/f')
    local task = a:start(function(here)
      files.download('files', 'f', here .. '/f', { resume = true, progress = function(done)
        if done == 65536 then report 'half' end
        if done > 65536 then mesh.sleep(0.01) end
      end })
    end, here)
    a:wait_reports(1)
    b:eval(function(id) mesh.disconnect(id, { abort = true }) end, a:id())
    assert.equal('PEER_LOST', task:failure().code)
    net:wait(function() return net:metrics().requests_now == 0 end, 'the end of the handler')
    assert.same({ '.f.part' }, list(here))
    assert.matches('download broken off.*PEER_LOST', net:log())
  end)

  it('by a cancel: the part goes, handles are closed', function()
    os.remove(there .. '/f')
    local task = a:start(function(here)
      files.upload('files', here .. '/f', 'f', { progress = function(done)
        if done == 1048576 then report 'half' end
        mesh.sleep(0.001)
      end })
    end, here)
    a:wait_reports(1)
    task:cancel()
    net:wait(function() return #list(there) == 0 end, 'the end of the part')
    world:assert_nothing_left(open)
  end)
end)
