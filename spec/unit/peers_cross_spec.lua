--- runtime/peer/peer: of several links between two nodes one stays, and the calls on the others end
--- as if nothing had happened.

local crossing = require 'spec.support.crossing'

--- Of each kind; more of them take a millisecond each.
local SEEDS = tonumber(os.getenv 'PERILUNE_CROSS_SEEDS') or 130

describe('two nodes that dial each other', function()
  local world

  local function check(seed, options)
    world = crossing.new(seed, options)
    world:run(150)
    world:calm()
    local what = 'seed ' .. seed
    for _, call in ipairs(world:unjustly()) do
      error(('%s: %d of %d calls lost, %s: %s'):format(what, #world.lost, #world.calls, call.why, call.detail))
    end
    for _, call in ipairs(world.calls) do assert(call.settled, what .. ': a call did not settle') end
    assert.equal(2, world.net:metrics().links_now, what)
    local a, b = world[1].node:peer(), world[2].node:peer()
    assert.equal('up', a.state, what)
    assert.equal('up', b.state, what)
    assert.equal(a.session.nonce, b.session.nonce, what)
    if not options.cuts and not options.unkeeps then
      for i = 1, 2 do
        for n = 1, options.dials do assert.equal('OK', world[i].node.dialled[n].code, what) end
      end
    end
    world:finish()
    world = nil
  end

  after_each(function()
    if world then world:finish() end
    world = nil
  end)

  for text, options in pairs {
    ['once'] = { dials = 1 },
    ['three times'] = { dials = 3 },
    ['three times at once'] = { dials = 3, at_once = true },
    ['while links are cut that can go on'] = { dials = 2, cuts = true, resume_window = 2 },
    ['while links are cut and not all notice'] = { dials = 2, cuts = true, unaware = true, resume_window = 4 },
    ['while links are cut that cannot'] = { dials = 2, cuts = true },
    ['and give up their links in turn'] = { dials = 2, unkeeps = true },
    ['and give them up while links are cut'] = { dials = 2, unkeeps = true, cuts = true, resume_window = 2 },
  } do
    it('lose no call and have one link, ' .. text, function()
      for seed = 1, SEEDS do check(seed, options) end
    end)
  end
end)
