--- What every new project has: settings of editors and of git.

return {
  ['.luarc.json'] = [[
{
  "$schema": "https://raw.githubusercontent.com/LuaLS/vscode-lua/master/setting/schema.json",
  "runtime.version": "Lua 5.4",
  "runtime.path": ["?.lua", "?/init.lua"],
  "workspace.library": [
    "${3rd}/busted/library",
    "${3rd}/luassert/library",
    "/usr/share/perilune/types",
    "/usr/local/share/perilune/types",
    "types"
  ],
  "workspace.checkThirdParty": false,
  "diagnostics.globals": ["mesh"]
}
]],

  ['.gitignore'] = [[
/lua_modules/
/state/
*.key
]],
}
