-- In the node of the specs itself, which finds the module with the picture code as the example does.
local mesh = require 'perilune'
local ppm = require 'ppm'

--- A picture whose left half is black and whose right half is white.
local function halves(width, height)
  local row = ('\0\0\0'):rep(width // 2) .. ('\255\255\255'):rep(width // 2)
  return ('P6\n# black and white\n%d %d\n255\n'):format(width, height) .. row:rep(height)
end

local function once(data)
  return function()
    local block = data
    data = nil
    return block
  end
end

local function thumbnail(data, width)
  local stream <close> = mesh.with { input = once(data) }.stream('thumbnail', width)
  local _, picture = stream:next()
  return picture, stream:result()
end

describe('ppm.lua', function()
  it('takes the mean of the pixels', function()
    assert.same({ 'P5\n2 1\n255\n' .. string.char(25, 75), 2, 1 },
      { ppm.shrink('P5\n4 2\n255\n' .. string.char(10, 20, 60, 70, 30, 40, 80, 90), 2) })
  end)

  it('leaves what is small enough', function()
    local picture = 'P5\n2 1\n255\nab'
    assert.equal(picture, (ppm.shrink(picture, 2)))
  end)

  it('refuses what is no picture', function()
    local good = 'P5 2 1 255\nab'
    for length = 0, #good - 1 do
      local ok, err = pcall(ppm.header, good:sub(1, length))
      assert.is_false(ok)
      assert.equal('NOT_A_PICTURE', err.code)
    end
    for _, bad in ipairs { 'P4 2 1 255\nab', 'P5 0 1 255\nab', 'P5 2 1 65535\nabcd', 'P5 2 -1 255\nab', 'GIF89a' } do
      assert.is_false((pcall(ppm.header, bad)), bad)
    end
    assert.equal(2, (ppm.header(good)))
  end)
end)

describe('thumbnails.lua', function()
  setup(function() require 'thumbnails' end)

  it('makes a picture small', function()
    local picture, about = thumbnail(halves(400, 100), 4)
    assert.equal('P6\n4 1\n255\n' .. ('\0'):rep(6) .. ('\255'):rep(6), picture)
    assert.same({ 4, 1 }, { about.width, about.height })
  end)

  it('makes many at once', function()
    local tasks = {}
    for i = 1, 20 do tasks[i] = mesh.spawn(thumbnail, halves(100, 100), 2 * i) end
    for i, picture in ipairs(mesh.all(tasks)) do assert.equal(2 * i, (ppm.header(picture))) end
  end)

  it('says what it does not take', function()
    local function code(...) return select(2, pcall(thumbnail, ...)).code end
    assert.equal('NOT_A_PICTURE', code('GIF89a', 64))
    assert.equal('INVALID', code(halves(10, 10), 0))
    assert.equal('INVALID', code(halves(10, 10), '64'))
  end)
end)
