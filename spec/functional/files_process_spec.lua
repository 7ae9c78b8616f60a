-- Files between processes: ends that are killed, disks that are full, and how much memory it takes.

local lfs = require 'lfs'
local nodes = require 'spec.support.nodes'
local process = require 'spec.support.process'
local transfers = require 'spec.support.transfers'

local MIB = 1024 * 1024
local PLAIN = process.patience == 1 -- sanitizers are slow, and take memory of their own
--- MiB of the largest file; a gigabyte: PERILUNE_SPEC_FILE=1024 ./dev test spec/functional/files_process_spec.lua
local LARGE = tonumber(os.getenv 'PERILUNE_SPEC_FILE') or PLAIN and 64 or 8
local GROWTH = 12 * MIB -- that a node may have grown by when much has passed it

local CLIENT = "files, fs = require 'perilune.files', require 'perilune.fs'"
local SERVER = CLIENT .. " files.serve('files', %q, { write = true })"

local function random_file(path, size)
  assert(os.execute(("head -c %d /dev/urandom > '%s'"):format(size, path)))
end

local function part_size(dir)
  return lfs.attributes(dir .. '/.f.part', 'size') or 0
end

--- Waits until some of the file is there.
local function wait_for_part(dir)
  local deadline = process.now() + 20 * process.patience
  while part_size(dir) <= MIB do
    assert(process.now() < deadline, 'no part of the file came')
    process.sleep(0.01)
  end
end

describe('files between processes', function()
  local there, here

  before_each(function() there, here = process.temp_dir(), process.temp_dir() end)

  local function server(options)
    options = options or {}
    options.listen = options.listen or 'tcp'
    return nodes.start('server', options, SERVER:format(options.folder or there))
  end

  local function client(peer)
    local node = nodes.start('client', { peers = { peer } }, CLIENT)
    node:eval "mesh.wait 'files.put'"
    return node
  end

  --- What `a` returns of a transfer, again while the end of the last one is not known there.
  local function resumed(a, verb, from, to)
    return a:wait_for(([[
      local first
      local ok, size, sha256 = pcall(files.%s, 'files', %q, %q, { resume = true, progress = function(done)
        first = first or done
      end })
      if ok then return { size = size, sha256 = sha256, first = first } end
      if size.code == 'BUSY' or size.code == 'NOT_FOUND' then return nil end
      error(size, 0)
    ]]):format(verb, from, to), 20)
  end

  --- Begins a transfer that takes its time.
  local function begin(a, verb, from, to)
    return a:begin(([[
      files.%s('files', %q, %q, { resume = true, progress = function(done)
        if done > 1000000 then mesh.sleep(0.02) end
      end })
    ]]):format(verb, from, to))
  end

  for _, verb in ipairs { 'upload', 'download' } do
    local function ends() -- source folder, target folder
      if verb == 'upload' then return here, there end
      return there, here
    end

    local function names()
      if verb == 'upload' then return here .. '/f', 'f' end
      return 'f', here .. '/f'
    end

    for _, who in ipairs { 'server', 'client' } do
      it(('go on where they were when the %s was killed: %s'):format(who, verb), function()
        local source, target = ends()
        local from, to = names()
        random_file(source .. '/f', 20 * MIB)
        local b = server()
        local a = client(b)
        local transfer = begin(a, verb, from, to)
        local killed = who == 'server' and b or a
        wait_for_part(target)
        assert.is_nil(lfs.attributes(target .. '/f'))
        killed.process:kill 'KILL'
        killed.process:wait()
        if who == 'server' then
          assert.matches('^PEER_LOST', transfer:failure().text)
          b = server { listen = b.url }
        end
        local left = part_size(target)
        assert.is_true(left > 0 and left < 20 * MIB, left)
        local other = who == 'client' and client(b) or a
        local got = resumed(other, verb, from, to)
        assert.is_true(got.first >= left and got.first < 20 * MIB, got.first)
        local digest = transfers.sha256(source .. '/f')
        assert.same({ 20 * MIB, digest, digest }, { got.size, got.sha256, transfers.sha256(target .. '/f') })
        assert.same({ 'f' }, transfers.list(target))
      end)
    end
  end

  it('are written by one at a time, also when two nodes have the same folder', function()
    random_file(here .. '/f', 3 * MIB)
    local a = client(server())
    local c = client(server())
    local first = a:begin([[
      local path, code = ...
      local size = files.upload('files', path, 'f', { progress = function(done)
        if done < 1000000 or code then return end
        fs.write(path .. '.now', '')
        while not fs.exists(path .. '.done') do mesh.sleep(0.01) end
        code = fs.read(path .. '.done')
      end })
      return code, size
    ]], here .. '/f')
    c:eval([[
      local path = ...
      while not fs.exists(path .. '.now') do mesh.sleep(0.01) end
      local ok, err = pcall(files.upload, 'files', path, 'f')
      fs.write(path .. '.done', ok and 'ok' or err.code, { atomic = true })
    ]], here .. '/f')
    assert.same({ 'BUSY', 3 * MIB }, { first:wait() })
    assert.equal(3 * MIB, (c:eval("return files.upload('files', ..., 'f')", here .. '/f')))
    assert.same({ 'f' }, transfers.list(there))
  end)

  describe('with no room left', function()
    --- A node whose folder is on a disk of a megabyte; nil where that is not allowed.
    local function with_small_disk(start)
      if not os.execute "unshare -m sh -c 'mount -t tmpfs -o size=1m none /tmp' 2> /dev/null" then
        return pending 'mounting is not allowed here'
      end
      local mount = ("mount -t tmpfs -o size=1m none '%s' && exec \"$@\""):format(here .. '/disk')
      lfs.mkdir(here .. '/disk')
      start { 'unshare', '-m', 'sh', '-c', mount, 'sh' }
    end

    local function assert_told(err, name, errno_text, node, dir)
      assert.same({ 'IO_ERROR', 'executed' }, { err.code, err.outcome })
      assert.equal(('write %s: %s'):format(name, errno_text), err.message)
      assert.same({}, node:eval(('return fs.list %q'):format(dir)))
    end

    it('on the disk of the server: both ends are told, nothing is left', function()
      with_small_disk(function(before)
        local b = server { before = before, folder = here .. '/disk' }
        local a = client(b)
        random_file(here .. '/f', 3 * MIB)
        local open = b:descriptors()
        local err = a:fails(("files.upload('files', %q, 'f')"):format(here .. '/f'))
        assert_told(err, 'f', 'no space left on device', b, here .. '/disk')
        b.process:wait_line('handler failed.*files%.put.*no space left', nil, 'stderr')
        assert.equal(100, (a:eval(([[
          fs.write(%q, ('x'):rep(100))
          return files.upload('files', %q, 'f')
        ]]):format(here .. '/f', here .. '/f'))))
        b:wait_for 'return mesh.metrics().requests_now == 0'
        assert.is_true(b:descriptors() <= open + 1)
      end)
    end)

    it('on the disk of the client: both ends are told, nothing is left', function()
      with_small_disk(function(before)
        random_file(there .. '/f', 3 * MIB)
        local b = server()
        local a = nodes.start('client', { peers = { b }, before = before }, CLIENT)
        local err = a:fails(("mesh.wait 'files.get' files.download('files', 'f', %q)"):format(here .. '/disk/f'))
        assert_told(err, here .. '/disk/f', 'no space left on device', a, here .. '/disk')
        b.process:wait_line('download broken off.*no space left', nil, 'stderr')
        err = a:fails(("files.download('files', 'f', %q, { resume = true })"):format(here .. '/disk/f'))
        assert.equal('IO_ERROR', err.code)
        assert.same({ '.f.part' }, a:eval(('return fs.list %q'):format(here .. '/disk')))
      end)
    end)

    it('for a file as large: both ends are told, nothing is left', function()
      local limited = { 'sh', '-c', 'ulimit -f 1024; exec "$@"', 'sh' } -- 512 KiB
      random_file(here .. '/f', 3 * MIB)
      local b = server { before = limited }
      local err = client(b):fails(("files.upload('files', %q, 'f')"):format(here .. '/f'))
      assert_told(err, 'f', 'file too large', b, there)
      b.process:wait_line('handler failed.*files%.put.*file too large', nil, 'stderr')
    end)
  end)

  it('take the same memory however large they are', function()
    random_file(here .. '/f', LARGE * MIB)
    local b = server()
    local r = nodes.start('relay', { listen = 'tcp', peers = { b } }, "mesh.action('relay', print)")
    local a = client(r)
    local digest = transfers.sha256(here .. '/f')
    local transfer = ([[
      local _, sent = files.upload('files', %q, 'f')
      local _, got = files.download('files', 'f', %q)
      collectgarbage()
      return sent, got, collectgarbage 'count' * 1024
    ]]):format(here .. '/f', here .. '/g')
    random_file(here .. '/small', MIB)
    local _, _, lua = a:eval((transfer:gsub('/f"', '/small"')))
    local all, before = { a, r, b }, {}
    for i, node in ipairs(all) do before[i] = node:rss() end
    local sent, got, lua_after = a:begin(transfer):wait(60 + LARGE / 4)
    assert.same({ digest, digest }, { sent, got })
    assert.is_true(lua_after - lua < MIB, lua_after - lua)
    for i, node in ipairs(all) do
      local grown = node:rss() - before[i]
      assert.is_true(node:is_sanitized() or grown < GROWTH, ('%s grew by %d'):format(node.name, grown))
    end
  end)
end)

describe('an upload of 100 MB to a handler that reads slowly', function()
  it('comes whole, and makes neither its consumer, nor a relay, nor its producer grow', function()
    local consumer = nodes.start('consumer', { listen = 'tcp' }, [[
      local crypto = require 'perilune.crypto'
      mesh.action('digest', function(pause)
        local hasher, bytes, most = crypto.hasher(), 0, 0
        for block in mesh.input() do
          hasher:update(block)
          bytes = bytes + #block
          mesh.sleep(pause)
        end
        return bytes, hasher:digest { hex = true }
      end)
    ]])
    local relay = nodes.start('relay', { listen = 'tcp', peers = { consumer } }, "mesh.action('relay', print)")
    local producer = nodes.start('producer', { peers = { relay } }, [[
      local crypto = require 'perilune.crypto'
      mesh.wait 'digest'
      function upload(megabytes, pause)
        local hasher, left, random = crypto.hasher(), megabytes * 1000000, crypto.random(65528)
        local function block()
          if left == 0 then return nil end
          local text = (string.pack('>I8', left) .. random):sub(1, left)
          left = left - #text
          hasher:update(text)
          return text
        end
        local bytes, digest = mesh.with { input = block }.call('digest', pause)
        return bytes, digest == hasher:digest { hex = true }
      end
    ]])
    local all, before, most = { consumer, relay, producer }, {}, {}
    producer:eval 'upload(5, 0)'
    for i, node in ipairs(all) do before[i], most[i] = node:rss(), 0 end
    local megabytes = PLAIN and 100 or 10
    local upload = producer:begin('return upload(..., 0.001)', megabytes)
    repeat
      for i, node in ipairs(all) do most[i] = math.max(most[i], node:rss()) end
      process.sleep(0.05)
    until upload:ended()
    assert.same({ megabytes * 1000000, true }, { upload:wait() })
    for i, node in ipairs(all) do
      local grown = most[i] - before[i]
      assert.is_true(node:is_sanitized() or grown < GROWTH, ('%s grew by %d'):format(node.name, grown))
    end
  end)
end)
