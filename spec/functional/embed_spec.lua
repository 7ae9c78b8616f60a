--- The C library: a program with nodes in it (spec/embed/host.c), and programs that are built against an
--- installation.

local process = require 'spec.support.process'

local build = process.perilune:match '^(.*)/'

local function host(...)
  local result = process.run { build .. '/perilune_embed', ... }
  assert.same({ 0, '' }, { result.code, result.stderr })
  return result.stdout
end

describe('a program in C with a node', function()
  it('is told what it does wrong', function() host 'misuse' end)

  it('calls actions of its own and of scripts, and streams', function()
    assert.equal('[1,"a\\u0000b",null,{"k":[2.5]}] executed\n[] executed\n[5] executed\n'
      .. 'OUT_OF_STOCK executed\n1048580 bytes\nover 0\n', host 'calls')
  end)

  it('streams no faster than its consumer takes', function()
    assert.equal('["all"] executed\nover 0\n', host 'flood')
  end)

  it('cancels, and is cancelled', function()
    assert.matches('^TIMEOUT %S+\nover 0\n$', host 'cancelling')
  end)

  it('stops with calls and requests under way', function()
    assert.equal('CANCELLED unknown\nover 0\nCANCELLED unknown\n', host 'stopping')
  end)

  it('ends when its script cannot be loaded', function()
    local result = process.run { build .. '/perilune_embed', 'broken_script' }
    assert.same({ 0, 'over 1\n' }, { result.code, result.stdout })
    assert.matches('^bad.lua:1: no\n', result.stderr)
  end)

  it('serves the mesh', function()
    local url = 'unix://' .. process.temp_dir() .. '/s'
    local p = process.start { build .. '/perilune_embed', 'serve', url }
    local function ask(command, ...) return process.perilune_run(command, '--peer', url, ...) end
    local deadline = process.now() + 20 * process.patience
    while ask('nodes').code ~= 0 and process.now() < deadline do process.sleep(0.01) end
    assert.equal('1\n"a"\n{"b":[true]}\n', ask('call', 'echo', '1', '"a"', '{"b":[true]}').stdout)
    local streamed = ask('stream', 'flood')
    assert.equal('"all"\n', streamed.stderr)
    assert.equal(1000, select(2, streamed.stdout:gsub('\n', '')))
    assert.matches('^STREAM_EXPECTED', ask('call', 'flood').stderr)
    assert.equal('"bye"\n', ask('call', 'quit').stdout)
    assert.equal(0, (p:wait()))
  end)
end)

describe('the installed C library', function()
  local SEEN = 'chunk [1]\nchunk [2]\nresult ["hello C, 42"]\n'
    .. 'failed NO_NUMBER: twice takes a number (executed)\nover 0\n'

  local function sh(dir, prefix, script)
    local result = process.run({ 'sh', '-ec', script, 'sh', process.root .. '/examples/embed' }, {
      cwd = dir, timeout = 60,
      env = { PKG_CONFIG_PATH = prefix .. '/lib/pkgconfig', CMAKE_PREFIX_PATH = prefix },
    })
    assert.equal(0, result.code, result.stdout .. result.stderr)
    return result.stdout
  end

  it('is found by pkg-config and by CMake, and has no names but its own', function()
    if not io.open(build .. '/libperilune.a') then return end -- not made under sanitizers
    local prefix, dir = process.temp_dir(), process.temp_dir()
    local installed = process.run { 'cmake', '--install', build, '--prefix', prefix }
    assert.equal(0, installed.code, installed.stderr)
    assert.equal(SEEN, sh(dir, prefix, [[
      cc -Wall -Wextra -Werror "$1/main.c" $(pkg-config --cflags --libs perilune) -o embed
      ./embed
    ]]))
    assert.equal(SEEN, sh(dir, prefix, [[
      cmake -S "$1" -B by_cmake >/dev/null
      cmake --build by_cmake >/dev/null
      by_cmake/embed unix://$PWD/s
    ]]))
    for name in sh(dir, prefix, 'nm -g --defined-only ' .. prefix .. '/lib/libperilune.a'):gmatch '%x+ %u (%S+)\n' do
      assert.matches('^perilune_', name)
    end
  end)
end)
