local lfs = require 'lfs'
local on_loop = require 'spec.support.on_loop'
local process = require 'spec.support.process'

local run, fails = on_loop.run, on_loop.fails

--- Code that has `folder`, `files` and the folder `dir`, in which there is the file `f`.
local function with(source)
  return "local dir = ...; local folder, files = require 'perilune.core.folder', require 'perilune.files' " .. source
end

describe('perilune.files', function()
  local dir

  local function put(name, text)
    local f <close> = assert(io.open(dir .. '/' .. name, 'wb'))
    f:write(text)
  end

  local function get(name)
    local f <close> = assert(io.open(dir .. '/' .. name, 'rb'))
    return f:read 'a'
  end

  local function list()
    local names = {}
    for name in lfs.dir(dir) do
      if name ~= '.' and name ~= '..' then names[#names + 1] = name end
    end
    table.sort(names)
    return names
  end

  before_each(function()
    dir = process.temp_dir()
    put('f', 'text')
  end)

  describe('below a folder', function()
    it('the system looks for names that lead out, too', function()
      lfs.mkdir(dir .. '/sub')
      os.execute(("cd '%s' && ln -s f link && ln -s .. sub/up && mkfifo fifo"):format(dir))
      local cases = {
        ['..'] = 'EINVAL', ['.'] = 'EINVAL', [''] = 'EINVAL', ['sub/../f'] = 'EINVAL', ['sub//f'] = 'EINVAL',
        ['/f'] = 'EINVAL', ['sub/'] = 'EINVAL', ['./f'] = 'EINVAL', [('x'):rep(300)] = 'ENAMETOOLONG',
        [('x'):rep(300) .. '/f'] = 'ENAMETOOLONG', ['sub/up/f'] = 'ENOTDIR', ['f/f'] = 'ENOTDIR', none = 'ENOENT',
        ['none/f'] = 'ENOENT', link = 'EFTYPE', fifo = 'EFTYPE', sub = 'EISDIR',
      }
      for name, errno in pairs(cases) do
        local opened, written = run(with [[
          local name = select(2, ...)
          return select(3, catch(folder.open, dir, name)), select(3, catch(folder.part, dir, name))
        ]], dir, name)
        assert.equal(errno, opened, name)
        if name ~= 'none' then assert.equal(errno, written, name) end
      end
      os.remove(dir .. '/.none.part')
      assert.same({ 'f', 'fifo', 'link', 'sub' }, list())
      assert.truthy(fails(with "folder.open(dir, 'f\\0/../..')", dir):find 'string with NUL')
    end)

    it('a part is locked, and is no link, second name or pipe', function()
      assert.same({ 'EBUSY', 'no error' }, { run(with [[
        local one <close> = folder.part(dir, 'g')
        local busy = select(3, catch(folder.part, dir, 'g'))
        one:close()
        return busy, (catch(folder.part, dir, 'g'))
      ]], dir) })
      for _, command in ipairs { 'ln -s f .h.part', 'ln f .h.part', 'mkfifo .h.part' } do
        assert(os.execute(("cd '%s' && %s"):format(dir, command)))
        assert.equal('EFTYPE', (run(with "return select(3, catch(folder.part, dir, 'h'))", dir)), command)
        os.remove(dir .. '/.h.part')
      end
      lfs.mkdir(dir .. '/.h.part')
      assert.equal('EISDIR', (run(with "return select(3, catch(folder.part, dir, 'h'))", dir)))
      assert.equal('text', get 'f')
    end)

    it('a part becomes the file only while it is the one that was opened', function()
      assert.same({ 'ENOENT', 'ENOENT', 'no error' }, { run(with [[
        local part <close> = folder.part(dir, 'f')
        part:write 'new text'
        fs.rename(dir .. '/.f.part', dir .. '/elsewhere')
        local gone = select(3, catch(folder.publish, part, dir, 'f'))
        fs.write(dir .. '/.f.part', 'of another')
        local other = select(3, catch(folder.discard, part, dir, 'f'))
        fs.rename(dir .. '/elsewhere', dir .. '/.f.part')
        return gone, other, (catch(folder.publish, part, dir, 'f'))
      ]], dir) })
      assert.equal('new text', get 'f')
      assert.same({ 'f' }, list())
    end)

    it('a part does not take the place of what is no file', function()
      assert.equal('EISDIR', (run(with [[
        local part <close> = folder.part(dir, 'g')
        fs.mkdir(dir .. '/g')
        return select(3, catch(folder.publish, part, dir, 'g'))
      ]], dir)))
    end)
  end)

  describe('blocks', function()
    it('are those of a file, with its digest', function()
      assert.same({ { 65536, 65536, 100 }, 131172, true }, { run(with [[
        local text = ('0123456789ab'):rep(10931)
        fs.write(dir .. '/g', text)
        local sizes, source = {}, files.blocks(dir .. '/g')
        for block in source do sizes[#sizes + 1] = #block end
        local digest = require 'perilune.crypto'.sha256(text, { hex = true })
        local same = source:digest() == digest
        source:close()
        return sizes, source.size, same
      ]], dir) })
    end)

    it('begin where they are asked to, and follow links of this machine', function()
      os.execute(("ln -s f '%s/link'"):format(dir))
      assert.equal('xt', (run(with [[
        for block in files.blocks(dir .. '/link', { offset = 2 }) do return block end
      ]], dir)))
      assert.equal('NOT_A_FILE', (run(with "return catch(files.blocks, 'link', { root = dir })", dir)))
      assert.same({ 'INVALID', 'no error' }, { run(with [[
        return catch(files.blocks, dir .. '/f', { offset = 5 }), (catch(files.blocks, dir .. '/f', { offset = 4 }))
      ]], dir) })
    end)

    it('of what is no file are refused', function()
      assert.equal('EISDIR', (run(with 'return select(3, catch(files.blocks, dir))', dir)))
      assert.equal('EFTYPE', (run(with "return select(3, catch(files.blocks, '/dev/zero'))", dir)))
      assert.equal('ENOENT', (run(with "return select(3, catch(files.blocks, dir .. '/none'))", dir)))
    end)
  end)

  describe('store', function()
    it('takes the strings of any iterator', function()
      assert.same({ 4, 'abcd', 0, true }, { run(with [[
        local parts = { 'ab', '', 'cd' }
        local size, digest = files.store(dir .. '/g', function() return table.remove(parts, 1) end)
        local empty = files.store('h', { next, {}, nil }, { root = dir })
        files.store(dir .. '/copy', table.pack(files.blocks(dir .. '/g')), { sha256 = digest, size = 4, max_size = 4 })
        return size, fs.read(dir .. '/copy'), empty, digest == require 'perilune.crypto'.sha256('abcd', { hex = true })
      ]], dir) })
      assert.same({ 'copy', 'f', 'g', 'h' }, list())
    end)

    it('knows a digest in capital letters', function()
      assert.equal(4, (run(with [[
        local digest = require 'perilune.crypto'.sha256('text', { hex = true }):upper()
        return (files.store(dir .. '/g', table.pack(files.blocks(dir .. '/f')), { sha256 = digest }))
      ]], dir)))
      assert.equal('text', get 'g')
    end)

    it('leaves nothing when it fails', function()
      local function code(iterator, options)
        return (run(with(('return catch(files.store, dir .. "/f", %s, %s)'):format(iterator, options or 'nil')), dir))
      end
      assert.equal('TORN', code "function() error { code = 'TORN' } end")
      assert.equal('INVALID', code 'function() return 5 end')
      assert.equal('TOO_LARGE', code("function() return 'x' end", '{ max_size = 1000 }'))
      assert.equal('TOO_LARGE', code("function() return 'x' end", '{ max_size = 10, size = 11 }'))
      assert.equal('CHECKSUM', code('function() end', '{ size = 1 }'))
      assert.equal('CHECKSUM', code('function() end', "{ sha256 = ('0'):rep(64) }"))
      assert.same({ 'f' }, list())
      assert.equal('text', get 'f')
    end)

    it('says at the line of the caller what is wrong', function()
      assert.truthy(fails(with "files.store('x', 5)", dir):find "^script:1: bad argument #2 to 'files.store': iterator")
      assert.truthy(fails(with "files.store('x', next, { atomic = true })", dir):find "unknown option 'atomic'")
      assert.truthy(fails(with 'files.blocks()', dir):find "bad argument #1 to 'files.blocks'")
      assert.truthy(fails(with "files.blocks('f', { offset = -1 })", dir):find "option 'offset'")
      for _, call in ipairs { "download('a', 'b', 'c', ", "upload('a', 'b', 'c', ", "stat('a', 'b', " } do
        local wrong = with('files.' .. call .. '{ progress = 5 })')
        assert.truthy(fails(wrong, dir):find "^script:1: option 'progress' of files%.")
      end
      assert.truthy(fails(with "files.serve('a', dir .. '/f')", dir):find 'is no folder')
    end)
  end)
end)
