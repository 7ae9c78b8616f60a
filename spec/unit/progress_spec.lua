local on_loop = require 'spec.support.on_loop'

local run = on_loop.run

describe('the progress of a command', function()
  it('writes sizes and times in few letters', function()
    local sizes = { '0 B', '999 B', '1.0 kB', '99.9 kB', '100 kB', '999 kB', '1.0 MB', '12.3 MB', '4.0 GB', '9.2 EB' }
    assert.same(sizes, (run [[
      local p, list = require 'perilune.cli.progress', {}
      for i, n in ipairs { 0, 999, 1000, 99900, 99990, 999400, 999900, 12345678, 4e9, math.maxinteger } do
        list[i] = p.size(n)
      end
      return list
    ]]))
    assert.same({ '0:00', '0:05', '1:00', '59:59', '1:00:00', '99:59:59' }, (run [[
      local p, list = require 'perilune.cli.progress', {}
      for i, n in ipairs { 0.4, 4.6, 59.7, 3599, 3600, 1e9 } do list[i] = p.time(n) end
      return list
    ]]))
  end)

  it('is a bar when it is known how much there is', function()
    assert.same({
      '[--------------------]   0 %  0 B of 2.0 MB  0 B/s',
      '[##########----------]  50 %  1.0 MB of 2.0 MB  250 kB/s  0:04 left',
      '[####################] 100 %  2.0 MB of 2.0 MB  250 kB/s',
      '[####################] 100 %  3.0 MB of 2.0 MB  250 kB/s',
      '[####################] 100 %  0 B of 0 B  0 B/s',
      '[##########----------]  50 %  1.0 MB of 2.0 MB  250 kB/s',
      '1.0 MB  250 kB/s',
    }, (run [[
      local line, M = require 'perilune.cli.progress'.line, 1000000
      return { line(0, 2 * M, 0), line(M, 2 * M, 250000), line(2 * M, 2 * M, 250000), line(3 * M, 2 * M, 250000),
        line(0, 0, 0), line(M, 2 * M, 250000, true), line(M, nil, 250000) }
    ]]))
  end)

  it('does without its bar where the terminal is narrow', function()
    local line = '[####################] 100 %  2.0 MB of 2.0 MB  250 kB/s'
    assert.same({ line, '100 %  2.0 MB of 2.0 MB  250 kB/s', '100 %', '1.0 MB', '' }, (run([[
      local fit, line = require 'perilune.cli.progress'.fit, ...
      return { fit(line, 57), fit(line, 56), fit(line, 12), fit('1.0 MB  250 kB/s', 11), fit(line, 1) }
    ]], line)))
  end)
end)
