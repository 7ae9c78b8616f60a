--- perilune test [FILE | FOLDER]... [BUSTED-OPTION]...

local client = require 'perilune.cli.client'
local runner = require 'perilune.test.runner'

-- As scripts in this folder find their modules.
local MODULES = './?.lua;./?/init.lua;./lua_modules/share/lua/5.4/?.lua;./lua_modules/share/lua/5.4/?/init.lua;'
  .. './lua_modules/?.lua;./lua_modules/?/init.lua;'
local C_MODULES = './lua_modules/lib/lua/5.4/?.so;./lua_modules/?.so;'

local INSTALL = table.concat({
  'NOT_FOUND: busted is not installed, which runs the specs',
  "  Debian, Ubuntu: apt-get install lua-busted",
  "  LuaRocks: luarocks --lua-version 5.4 install busted",
}, '\n')

client.run(function()
  local options, words = client.arguments()
  package.path, package.cpath = MODULES .. package.path, C_MODULES .. package.cpath
  if not package.searchpath('busted.runner', package.path) then client.fail(INSTALL) end
  words[#words + 1] = '--ignore-lua' -- a .busted file may ask for another interpreter
  os.exit(runner.run(words, { timeout = tonumber(options.timeout) or 60 }))
end)
