--- Large texts are compiled beside the loop: what they come to is the same, and others are served meanwhile.

local process = require 'spec.support.process'

local LARGE = "if none then none = { 1, 2, 3, name = 'a line of some length' } end\n"
LARGE = LARGE:rep(5000) -- 330 KB

local APP = "local mesh = require 'perilune'\nmesh.action('v', function() return %s end)\n"

local dir, p, url

local function write(name, text)
  local file <close> = assert(io.open(dir .. '/' .. name, 'wb'))
  file:write(text)
end

local function start(...)
  url = 'unix://' .. dir .. '/n.sock'
  p = process.start({ process.perilune, 'run', 'app.lua', '--name=n', '--listen=' .. url, ... }, { cwd = dir })
  p:wait_line '^ready '
end

local function answer() return process.perilune_run('call', '--peer=' .. url, 'v').stdout end

local function reload() return process.perilune_run('reload', '--peer=' .. url) end

before_each(function() dir = process.temp_dir {} end)

describe('a large text', function()
  it('is loaded as a small one, as script and as module', function()
    local body = APP:format "require 'part' .. debug.getinfo(1, 'l').currentline"
    write('app.lua', '#!/usr/bin/env perilune\n' .. LARGE .. body)
    write('part.lua', LARGE .. "return (...) .. ':'")
    start()
    assert.equal('"part:5003"\n', answer())
    write('part.lua', LARGE .. "return 'two '")
    local r = reload()
    assert.equal(0, r.code, r.stderr)
    assert.equal('"two 5003"\n', answer())
  end)

  it('is told where it is wrong', function()
    write('app.lua', APP:format '1')
    start()
    write('app.lua', LARGE .. 'return return\n')
    assert.equal("cannot reload app.lua, generation 1 goes on: app.lua:5001: unexpected symbol near 'return'\n" ..
      ' 5001 | return return\n', reload().stderr)
    write('app.lua', APP:format '2' .. "require 'part'\n")
    write('part.lua', LARGE .. 'x = = 1\n')
    assert.matches("goes on: error loading module 'part' from file '%./part%.lua':\n" ..
      "\t%./part%.lua:5001: unexpected symbol near '='\nstack traceback:", reload().stderr)
    write('part.lua', LARGE .. "\nerror 'boom'\n")
    assert.matches('goes on: %./part.lua:5002: boom\nstack traceback:', reload().stderr)
    write('part.lua', '')
    assert.equal(0, reload().code)
    assert.equal('2\n', answer())
  end)

  it('is loaded where nothing can wait, too', function()
    write('app.lua', APP:format 'word' .. "table.sort({ 1, 2 }, function() word = require 'part' return false end)\n")
    write('part.lua', LARGE .. "return 'sorted'\n")
    start()
    assert.equal('"sorted"\n', answer())
  end)

  it('does not load within no time, nor in no memory', function()
    write('app.lua', APP:format '1')
    start('--load-limit=0.05', '--memory-limit=8MiB')
    write('app.lua', LARGE:rep(20))
    assert.matches('^cannot reload app.lua, generation 1 goes on: TIMEOUT: app.lua: has not loaded within 0.05 s',
      reload().stderr)
    write('app.lua', APP:format '2')
    assert.equal(0, reload().code)
    p:kill 'TERM'
    p:wait()
    start '--memory-limit=8MiB'
    write('app.lua', LARGE:rep(20))
    assert.matches('^cannot reload app.lua, generation 1 goes on: MEMORY_LIMIT: ', reload().stderr)
    assert.equal('2\n', answer())
  end)
end)
