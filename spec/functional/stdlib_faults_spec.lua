local process = require 'spec.support.process'

local PRELUDE = [[
local fs, run = require 'perilune.fs', require('perilune.process').run
local function errno(fn, ...)
  local ok, err = pcall(fn, ...)
  return ok and 'ok' or err.details and err.details.errno or tostring(err)
end
]]

--- What a script prints when the shell has set `limit` before.
local function under(limit, source)
  local dir = process.temp_dir { ['app.lua'] = PRELUDE .. source, data = 'text\n' }
  local shell = ('%s; exec "%s" run app.lua'):format(limit, process.perilune)
  local result = process.run({ 'sh', '-c', shell }, { cwd = dir })
  assert.equal(0, result.code, result.stderr)
  return result.stdout
end

describe('the standard library', function()
  it('reports that there are no descriptors, and works again when there are', function()
    assert.equal('EMFILE\nok\nEMFILE\tEMFILE\nok\tok\n', under('ulimit -n 40', [[
      local files, err = { fs.open 'data' }, 'ok'
      while err == 'ok' do
        err = errno(function() files[#files + 1] = fs.open 'data' end)
      end
      print(err)
      print(errno(files[1].read, files[1]))
      print(errno(run, 'true'), errno(io.popen, 'true'))
      for _, f in ipairs(files) do f:close() end
      print(errno(run, 'true'), errno(io.popen, 'true'))
    ]]))
  end)

  it('reports a file that may not grow', function()
    assert.equal('EFBIG\nEFBIG\nok\nok\n', under('ulimit -f 8', [[
      print(errno(fs.write, 'new', ('x'):rep(100000)))
      print(errno(fs.write, 'data', ('x'):rep(100000), { atomic = true }))
      assert(fs.read 'data' == 'text\n' and #fs.list '.' == 3)
      print(errno(fs.write, 'small', 'x'))
      print(errno(fs.read, 'data'))
    ]]))
  end)

  it('runs many processes at once', function()
    assert.equal('ok\n', under('true', [[
      local ends = {}
      for i = 1, 50 do ends[i] = require('perilune').spawn(run, { 'true' }) end
      for _, t in ipairs(ends) do assert(t:await().code == 0) end
      print 'ok'
    ]]))
  end)
end)
