--- runtime/link/reading.c: what was read and is taken in portions.

local links = require 'spec.support.links'

local kinds = {
  { name = 'in memory', world = 'virtual', url = 'pair' },
  { name = 'over TCP', url = 'tcp://127.0.0.1:0' },
}

local SIP = 10

--- Takes SIP bytes, notes how many there were, and wants a pause if that is not all. What is less than SIP bytes is the
--- part of a frame, and waits for more.
local function sips(seen)
  return function(e, text)
    seen[#seen + 1] = #text
    if #text < SIP then return 0 end
    e.received[#e.received + 1] = text:sub(1, SIP)
    e.count = e.count + SIP
    if #text > SIP then e.link:pause() end
    return SIP
  end
end

for _, kind in ipairs(kinds) do
  describe('a link ' .. kind.name .. ' that is read in portions', function()
    local net
    before_each(function() net = links.new(kind.world) end)
    after_each(function() net:finish() end)

    local function numbers(count)
      local all = {}
      for i = 1, count do all[i] = ('%010d'):format(i) end
      return table.concat(all)
    end

    it('gives each part once, in order', function()
      local seen = {}
      local client, server = net:connect(kind.url, {}, { bytes = sips(seen) })
      local text = numbers(50)
      client.link:write(text)
      net:wait(function() return server.count == #text end, 'all of it')
      assert.equal(text, server:text())
      for i = 2, 50 do assert.is_true(seen[i] <= seen[1]) end
    end)

    it('puts what comes meanwhile behind the part of a frame that is left', function()
      local client, server = net:connect(kind.url, {}, { bytes = sips {} })
      local text = numbers(400)
      for at = 1, #text, 33 do
        client.link:write(text:sub(at, at + 32))
        if at % 2 == 0 then net.world:step(0.001) end
      end
      net:wait(function() return server.count == #text end, 'all of it')
      assert.equal(text, server:text())
    end)

    it('has given all of it before it tells of its end', function()
      local seen = {}
      local client, server = net:connect(kind.url, {}, { bytes = sips(seen) })
      local text = numbers(200)
      client.link:write(text)
      client.link:close()
      net:wait_closed(server)
      assert.equal('OK', server.closed)
      assert.equal(text, server:text())
    end)

    it('gives nothing more once it is closed', function()
      local client, server
      local calls = 0
      client, server = net:connect(kind.url, {}, {
        bytes = function(e)
          calls = calls + 1
          e.link:pause()
          if calls == 2 then e.link:close() end
          return SIP
        end,
      })
      client.link:write(numbers(20))
      net:wait_closed(server)
      assert.equal(2, calls)
    end)

    it('is one of many whose parts wait', function()
      local pairs_of_ends, text = {}, numbers(60)
      for i = 1, 12 do
        local client, server = net:connect(kind.url, {}, { bytes = sips {} })
        pairs_of_ends[i] = { client, server }
      end
      for _, ends in ipairs(pairs_of_ends) do ends[1].link:write(text) end
      net:wait(function()
        for _, ends in ipairs(pairs_of_ends) do
          if ends[2].count < #text then return false end
        end
        return true
      end, 'all of all')
      for _, ends in ipairs(pairs_of_ends) do assert.equal(text, ends[2]:text()) end
    end)
  end)
end
