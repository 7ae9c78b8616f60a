-- Files over the mesh: perilune.files between nodes of one process.

local lfs = require 'lfs'
local transfers = require 'spec.support.transfers'

-- luacheck: globals mesh report files fs, ignore 43

local KIB, MIB = 1024, 1024 * 1024

local bytes, put, get, list, sha256 = transfers.bytes, transfers.put, transfers.get, transfers.list, transfers.sha256

transfers.describe('files', function(world)
  local net, there, here, a, b

  before_each(function() net, there, here, a, b = world.net, world.there, world.here, world.a, world.b end)

  describe('of any size', function()
    it('come and go byte for byte', function()
      for _, size in ipairs { 0, 1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 5 * MIB + 3 } do
        put(here .. '/f', bytes(size))
        local digest = sha256(here .. '/f')
        assert.same({ size, digest }, { world:upload 'f' })
        assert.equal(digest, sha256(there .. '/f'))
        os.remove(here .. '/f')
        assert.same({ size, digest }, { world:download 'f' })
        assert.equal(digest, sha256(here .. '/f'))
        assert.same({ { 'f' }, { 'f' } }, { list(there), list(here) })
      end
    end)

    it('go through a relay, and back', function()
      local c = net:node('c', { peers = { a } }, transfers.prepare)
      c:eval(function() mesh.wait 'files.put' end)
      put(here .. '/f', bytes(3 * MIB))
      local size, sent, got = c:eval(function(here)
        local size, sent = files.upload('files', here .. '/f', 'f')
        local _, got = files.download('files', 'f', here .. '/g')
        return size, sent, got
      end, here)
      assert.equal(3 * MIB, size)
      assert.same({ sent, sent, sent }, { got, sha256(there .. '/f'), sha256(here .. '/g') })
      assert.is_true(net:metrics().relays_opened >= 2)
    end)

    it('say how far they are', function()
      put(there .. '/f', bytes(200000))
      assert.same({ { 0, 65536, 131072, 196608, 200000 }, 200000 }, { a:eval(function(here)
        local list, all = {}, nil
        files.download('files', 'f', here .. '/f', { progress = function(done, total)
          list[#list + 1], all = done, total
        end })
        return list, all
      end, here) })
    end)

    it('may be fetched and stored from an offset on', function()
      put(there .. '/f', bytes(100000))
      assert.equal(30000, (world:download('f', { offset = 70000 })))
      assert.equal(bytes(100000):sub(70001), get(here .. '/f'))
      assert.equal(10000, (world:upload('f', { offset = 20000 })))
      assert.equal(bytes(100000):sub(90001), get(there .. '/f'))
      assert.equal(0, (world:download('f', { offset = 10000 })))
      assert.equal('INVALID', world:download('f', { offset = 10001 }).code)
      assert.equal('INVALID', world:upload('f', { offset = 1 }).code)
    end)

    it('replace what had their name, and leave it its permissions', function()
      put(here .. '/f', 'new')
      put(there .. '/f', 'old')
      os.execute(("chmod 640 '%s/f'"):format(there))
      world:upload 'f'
      assert.equal('new', get(there .. '/f'))
      assert.equal('rw-r-----', lfs.attributes(there .. '/f', 'permissions'))
    end)

    it('lie in folders, too', function()
      lfs.mkdir(there .. '/sub')
      put(here .. '/f', 'text')
      assert.equal(4, (world:transfer('upload', here .. '/f', 'sub/deep', nil)))
      assert.equal(4, (world:transfer('download', 'sub/deep', here .. '/g', nil)))
      assert.equal('NO_FILE', world:transfer('upload', here .. '/f', 'none/deep', nil).code)
    end)
  end)

  it('are looked at', function()
    put(there .. '/f', 'text')
    put(there .. '/.g.part', 'begun')
    local f, g = a:eval(function() return files.stat('files', 'f'), files.stat('files', 'g') end)
    assert.same({ 4, nil, b:id() }, { f.size, f.part, f.node })
    assert.is_true(math.abs(f.modified - os.time()) < 60)
    assert.same({ nil, 5 }, { g.size, g.part })
    assert.equal('NO_FILE', a:fails(function() files.stat('files', 'h') end).code)
  end)

  it('are only read unless writing is allowed, and of a size that is allowed', function()
    net:node('r', { peers = { b } }, transfers.prepare):eval(function(dir)
      files.serve('readable', dir)
      files.serve('small', dir, { write = true, max_size = 100000 })
    end, there)
    put(here .. '/f', bytes(100001))
    put(here .. '/g', bytes(100000))
    a:eval(function() mesh.wait 'small.put' end)
    assert.same({ 'NOT_FOUND', 'TOO_LARGE', 'TOO_LARGE', 100000 }, { a:eval(function(here)
      local function code(...) return select(2, pcall(...)).code end
      local stream = mesh.stream('small.put', 'h')
      pcall(function()
        for _ = 1, 3 do stream:send(('x'):rep(50000)) end
        stream:finish()
      end)
      return code(files.upload, 'readable', here .. '/f', 'f'), code(files.upload, 'small', here .. '/f', 'f'),
        code(stream.result, stream), (files.upload('small', here .. '/g', 'g'))
    end, here) })
    assert.same({ 'g' }, list(there))
    assert.equal('TOO_LARGE', world:download('g', { max_size = 99999 }).code)
    assert.same({ 'f', 'g' }, list(here))
  end)

  it('refuse names that lead elsewhere, and what is no file', function()
    put(here .. '/secret', 'secret')
    lfs.mkdir(there .. '/sub')
    local links = "cd '%s' && ln -s '%s/secret' link && ln -s '%s' out && ln -s nowhere dangling && ln -s sub inner"
    assert(os.execute((links .. ' && mkfifo fifo'):format(there, here, here)))
    put(there .. '/.x.part', 'half')
    local before = list(there)
    local cases = {
      INVALID = {
        '', '.', '..', '/etc/passwd', '../secret', 'sub/../../secret', './f', 'sub//f', 'sub/', 'a\0b', 'a\nb',
        ('x'):rep(250), ('x/'):rep(600) .. 'x', ('y'):rep(256) .. '/f', '.x.part', 'sub/.x.part', 5, { 'f' }, false,
      },
      NOT_A_FILE = { 'link', 'dangling', 'fifo', 'sub' },
      NO_FILE = { 'out/secret', 'inner/f', 'nothing', 'link/f', 'sub/nothing/f' },
    }
    for code, names in pairs(cases) do
      for _, name in ipairs(names) do
        local said = a:eval(function(name)
          local function code(action)
            local s <close> = mesh.stream(action, name)
            s:finish()
            local ok, result = pcall(s.result, s)
            if action == 'files.stat' and ok and not result.size then return 'NO_FILE' end
            return ok and 'stored' or result.code
          end
          return { code 'files.stat', code 'files.get', code 'files.put' }
        end, name)
        assert.same({ code, code, name == 'nothing' and 'stored' or code }, said, tostring(name))
      end
    end
    os.remove(there .. '/nothing')
    assert.same(before, list(there))
    assert.same({ 'secret' }, list(here))
    assert.equal('NOT_FOUND', a:fails(function() files.download('other', 'f', '/tmp/none') end).code)
  end)

  it('refuse wishes that make no sense', function()
    put(there .. '/f', 'text')
    local bad = { 5, { offset = -1 }, { offset = 1.5 }, { at = 1 }, { at = 'x' }, { sha256 = 'x' }, { sha256 = 5 },
      { size = '5' }, { at = 1, sha256 = ('g'):rep(64) } }
    for i, wanted in ipairs(bad) do
      assert.same({ 'INVALID', 'INVALID' }, a:eval(function(wanted)
        local function code(action)
          local s <close> = mesh.stream(action, 'f', wanted)
          return select(2, pcall(s.result, s)).code
        end
        return { code 'files.get', code 'files.put' }
      end, wanted), i)
    end
    assert.equal('text', get(there .. '/f'))
    assert.same({ 'f' }, list(there))
  end)

  it('that are sent wrongly are not stored', function()
    local zeros = ('0'):rep(64)
    for i, case in ipairs {
      { 'INVALID', { 'x', 5 } }, { 'INVALID', { { size = 0 }, 'x' } }, { 'INVALID', { { size = 0 }, { size = 0 } } },
      { 'INVALID', { 'x', { size = -1 } } }, { 'CHECKSUM', { 'x', { size = 2 } } },
      { 'CHECKSUM', { 'x', { size = 1, sha256 = zeros } } }, { 'CHECKSUM', { 'x' }, { size = 2 } },
    } do
      assert.equal(case[1], a:eval(function(items, wanted)
        local s <close> = mesh.stream('files.put', 'f', wanted)
        return select(2, pcall(function()
          for _, item in ipairs(items) do s:send(item) end
          s:finish()
          return s:result()
        end)).code
      end, case[2], case[3]), i)
      assert.same({}, list(there))
    end
  end)

  it('of a bad server are not taken', function()
    b:eval(function()
      local right = 'ed968e840d10d2d313a870bc131a4e2c311d7ad09bdf32b3418147221f51a6e2' -- of 2 'a'
      local function serve(name, info, chunks, result)
        mesh.action(name .. '.get', function()
          if info then mesh.info(info) end
          for _, chunk in ipairs(chunks) do coroutine.yield(chunk) end
          return result
        end)
      end
      local whole = { size = 2, sha256 = require('perilune.crypto').sha256('aa', { hex = true }) }
      serve('good', { size = 2 }, { 'a', 'a' }, whole)
      serve('without_info', nil, { 'a', 'a' }, whole)
      serve('odd_info', 'two', { 'a', 'a' }, whole)
      serve('too_much', { size = 2 }, { 'a', 'a', 'a' }, whole)
      serve('no_blocks', { size = 2 }, { 1, {} }, whole)
      serve('too_little', { size = 2 }, { 'a' }, whole)
      serve('changed', { size = 2 }, { 'a', 'b' }, whole)
      serve('silent', { size = 2 }, { 'a', 'a' }, nil)
      serve('no_digest', { size = 2 }, { 'a', 'a' }, { size = 2 })
      serve('wrong_size', { size = 2 }, { 'a', 'a' }, { size = -1, sha256 = right })
      mesh.action('failing.get', function() error { code = 'CLOSED_TODAY', message = 'come back' } end)
    end)
    for name, code in pairs {
      good = 'ok', without_info = 'PROTOCOL', odd_info = 'PROTOCOL', too_much = 'PROTOCOL', no_blocks = 'PROTOCOL',
      too_little = 'CHECKSUM', changed = 'CHECKSUM', silent = 'PROTOCOL', no_digest = 'PROTOCOL',
      wrong_size = 'PROTOCOL', failing = 'CLOSED_TODAY',
    } do
      assert.equal(code, a:eval(function(name, here)
        mesh.wait(name .. '.get')
        local ok, err = pcall(files.download, name, 'f', here .. '/f')
        if ok then os.remove(here .. '/f') end
        return ok and 'ok' or err.code
      end, name, here), name)
      assert.same({}, list(here), name)
    end
  end)

  it('are written by one at a time', function()
    put(here .. '/f', bytes(MIB))
    put(there .. '/other', 'x')
    local got = a:eval(function(here)
      local codes = {}
      files.upload('files', here .. '/f', 'f', { progress = function(done)
        if done ~= 65536 then return end
        for i, to in ipairs { 'f', 'g' } do
          local ok, err = pcall(files.upload, 'files', here .. '/f', to)
          codes[i] = ok and 'ok' or { err.code, err.retry_after }
        end
      end })
      files.download('files', 'f', here .. '/h', { progress = function(done)
        if done ~= 65536 then return end
        local ok, err = pcall(files.download, 'files', 'other', here .. '/h')
        codes[3] = ok or { err.code, err.retry_after }
      end })
      return codes
    end, here)
    assert.same({ { 'BUSY', 1 }, 'ok', { 'BUSY', 1 } }, got)
    assert.same({ 'f', 'g', 'other' }, list(there))
    assert.equal(bytes(MIB), get(there .. '/f'))
    assert.equal(bytes(MIB), get(here .. '/h'))
  end)

  it("are parts of a script's own actions", function()
    b:eval(function(dir)
      mesh.action('archive', function(name)
        return files.store(name, mesh.input(), { root = dir, max_size = 1000000 })
      end)
      mesh.action('twice', function(name)
        for block in files.blocks(name, { root = dir }) do coroutine.yield(block) end
        for block in files.blocks(name, { root = dir, offset = 4 }) do coroutine.yield(block) end
      end)
    end, there)
    put(here .. '/f', bytes(300000))
    local size, digest = a:eval(function(here)
      mesh.wait 'twice'
      return mesh.with { input = table.pack(files.blocks(here .. '/f')) }.call('archive', 'f')
    end, here)
    assert.same({ 300000, sha256(there .. '/f') }, { size, digest })
    assert.equal(bytes(300000) .. bytes(300000):sub(5), a:eval(function()
      local all = {}
      for block in mesh.stream('twice', 'f') do all[#all + 1] = block end
      return table.concat(all)
    end))
    for name, code in pairs { ['../f'] = 'INVALID', none = 'NO_FILE' } do
      assert.equal(code, a:fails(function(name)
        local s <close> = mesh.stream('twice', name)
        s:result()
      end, name).code)
    end
    local err = a:fails(function(here)
      local step, state, first, closing = files.blocks(here .. '/f')
      local n = 0
      local function half(...)
        n = n + 1
        if n == 3 then error { code = 'TORN', message = 'half' } end
        return step(...)
      end
      return mesh.with { input = { half, state, first, closing } }.call('archive', 'g')
    end, here)
    assert.equal('TORN', err.code)
    net:wait(function() return #list(there) == 1 end, 'the end of the part')
  end)
end)
