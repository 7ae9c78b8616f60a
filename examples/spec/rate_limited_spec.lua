-- The client, an API that is a fake, and callers: seconds of waiting in virtual time.
local test = require 'perilune.test'

describe('rate_limited.lua', function()
  local net, api

  before_each(function()
    net = test.mesh { nodes = { limiter = test.script 'rate_limited.lua', internet = true, a = true, b = true } }
    api = net.internet:fake('upstream', function(path) return 'about ' .. path end)
    net:advance(1) -- until the others know of it
  end)

  --- Asks for `count` things at once, from two nodes. Returns how many were answered, and the seconds until then.
  local function ask(count)
    local began, tasks = net:now(), {}
    for i = 1, count do
      tasks[i] = net[i % 2 == 0 and 'a' or 'b']:start(function(path) return mesh.call('api', path) end, 'thing ' .. i)
    end
    local answered = 0
    for _, task in ipairs(tasks) do
      if pcall(task.wait, task) then answered = answered + 1 end
    end
    return answered, net:now() - began
  end

  it('lets a burst through at once', function()
    local answered, seconds = ask(10)
    assert.equal(10, answered)
    assert.is_true(seconds < 0.5, seconds)
    assert.equal(10, #api:calls())
  end)

  it('then holds the rate', function()
    local answered, seconds = ask(30)
    assert.equal(30, answered)
    assert.near(4, seconds, 0.5) -- 20 of them at 5 a second
  end)

  it('fills up again while nobody asks', function()
    ask(10)
    net:advance(60)
    local _, seconds = ask(10)
    assert.is_true(seconds < 0.5, seconds)
  end)

  it('tells those that would be too late at once', function()
    local answered, seconds = ask(300)
    assert.is_true(answered >= 155 and answered <= 162, answered) -- 10, and 5 in each of the 30 seconds that they have
    assert.is_true(seconds < 31, seconds)
    local asked = #api:calls()
    assert.is_true(asked == answered or asked == answered + 1, asked) -- the last one may come back too late
  end)

  it('gives the token of a caller that has left to the next one', function()
    ask(10)
    local task = net.a:start(function() return mesh.call('api', 'gone') end)
    net:advance(0.05)
    task:cancel()
    net:advance(0.05)
    local _, seconds = ask(1)
    assert.is_true(seconds < 0.2, seconds)
    assert.equal(11, #api:calls())
  end)

  it('asks once for those that want the same', function()
    local same = {}
    for i = 1, 20 do same[i] = net.a:start(function() return mesh.call('api', 'news') end) end
    for _, task in ipairs(same) do assert.equal('about news', task:wait()) end
    assert.equal(1, #api:calls())
  end)

  it('has patience when the API asks for it', function()
    net.internet:fake('upstream', function(path)
      if mesh.state:incr 'asked' == 1 then error { code = 'SLOW_DOWN', retry_after = 3 } end
      return path
    end)
    net:advance(1)
    local answered, seconds = ask(1)
    assert.equal(1, answered)
    assert.near(3, seconds, 0.5)
  end)
end)
