-- In the node of the specs itself: simulated nodes have no files.
local crypto = require 'perilune.crypto'
local mesh = require 'perilune'
local test = require 'perilune.test'

describe('pipeline.lua', function()
  setup(function() require 'pipeline' end)

  it('digests the files of a folder, in order', function()
    local files = {}
    for i = 1, 20 do files[('f%02d'):format(i)] = ('%d\n'):format(i) end
    local dir <close> = test.temp_dir(files)
    local n = 0
    for path, digest in mesh.stream('digests', dir.path) do
      n = n + 1
      assert.equal(('%s/f%02d'):format(dir, n), path)
      assert.equal(crypto.sha256(n .. '\n', { hex = true }), digest)
    end
    assert.equal(20, n)
  end)

  it('does no more when its reader has enough', function()
    local dir <close> = test.temp_dir { a = '1', b = '2', c = '3' }
    local stream <close> = mesh.stream('digests', dir.path)
    assert.is_true((stream:next()))
  end)

  it('raises what a file raises', function()
    local ok, err = pcall(mesh.call, 'digest', '/no/file')
    assert.is_false(ok)
    assert.equal('IO_ERROR', err.code)
  end)
end)
