--- Asks an API that allows so many requests a second, for all nodes of the mesh: they call `api`, and none of them
--- has to know of the limit. A token bucket lets a burst through and then holds the rate.
---   perilune run rate_limited.lua -- 5 10      5 requests a second, after a silence 10 at once
---   perilune call api '"users/7"'              asks `upstream`, which some node provides

local mesh = require 'perilune'

local RATE = tonumber(arg[1]) or 5
local BURST = tonumber(arg[2]) or 10
local TRIES = 3

local tokens, filled = BURST, mesh.now()

--- Takes a token, and waits until there is one. Tokens can be owed: so who came first goes first, and everybody knows
--- how long it will take. Who would be too late is told at once.
local function take_token()
  local now, deadline = mesh.now(), mesh.context().deadline
  tokens = math.min(BURST, tokens + (now - filled) * RATE)
  filled = now
  local wait = (1 - tokens) / RATE
  if deadline and now + wait > deadline then
    error { code = 'RATE_LIMITED', message = ('the next request may go in %.1f s'):format(wait), retry_after = wait }
  end
  tokens = tokens - 1
  if wait <= 0 then return end
  local ok, err = pcall(mesh.sleep, wait)
  if not ok then
    tokens = tokens + 1 -- the caller has left: somebody else may have it
    error(err, 0)
  end
end

mesh.action('api', function(path)
  for try = 1, TRIES do
    take_token()
    local ok, answer = pcall(mesh.call, 'upstream', path)
    if ok then return answer end
    if answer.code ~= 'SLOW_DOWN' or try == TRIES then error(answer, 0) end
    tokens = math.min(tokens, 0) - answer.retry_after * RATE -- nobody asks before that
  end
end, { params = { 'string' }, timeout = 30, share = true, description = 'asks the API, no faster than it allows' })
