--- The architecture, checked: includes point down, files stay readable.

local LAYERS = {
  'base', 'perilune_choice.h', 'perilune_figures.h', 'perilune_monitor.h', 'perilune_pass.h', 'perilune.h', 'wire',
  'link', 'peer', 'route', 'service', 'edge', 'node', 'sim', 'lua', 'main',
}
local LINES_MAX = 500
local FUNCTION_LINES_MAX = 70

--- Of `runtime/` the embedding sees base, the public header, the value codecs and the simulated network.
local LUA_MAY_USE = { ['perilune.h'] = true, ['wire/msgpack.h'] = true, ['wire/json.h'] = true,
  ['wire/utf8.h'] = true, ['wire/canonical.h'] = true, ['wire/store_file.h'] = true, ['sim/net.h'] = true }

--- What only some layers may mention: system headers by the layers that may include them.
local RESTRICTED = {
  ['lua.h'] = { lua = true, main = true },
  ['lauxlib.h'] = { lua = true, main = true },
  ['lualib.h'] = { lua = true, main = true },
  ['cjson/cJSON.h'] = { wire = true },
}

--- The protocol core takes bytes, events and the time; it does no I/O of its own.
local PURE = { wire = true, peer = true, route = true, service = true }
local IMPURE_HEADERS = { ['uv.h'] = true, ['sys/socket.h'] = true, ['unistd.h'] = true }

local rank = {}
for i, layer in ipairs(LAYERS) do rank[layer] = i end

--- 'runtime/wire/frame.c' -> 'wire'; 'lua/task.c' -> 'lua'; 'runtime/main.c' -> 'main'
local function layer_of(path)
  local inside = path:gsub('^runtime/', '')
  if inside:match '^perilune[%w_]*%.h$' then return inside end
  return inside:match '^(%w+)/' or 'main'
end

local function read(path)
  local own, system, lines = {}, {}, 0
  for line in io.lines(path) do
    lines = lines + 1
    own[#own + 1] = line:match '^#%s*include "([^"]+)"'
    system[#system + 1] = line:match '^#%s*include <([^>]+)>'
  end
  return own, system, lines
end

--- The longest function: its length, and the line where it ends. The formatter puts its
--- last brace, and its name, at the beginning of a line.
local function longest_function(path)
  local longest, ends, opened, number = 0, 0, nil, 0
  for line in io.lines(path) do
    number = number + 1
    if line:match '^%a.*%(' then opened = number end
    if line == '}' and opened then
      if number - opened >= longest then longest, ends = number - opened + 1, number end
      opened = nil
    end
  end
  return longest, ends
end

local function list(command)
  local names <close> = assert(io.popen(command))
  local paths = {}
  for path in names:lines() do paths[#paths + 1] = path end
  return paths
end

describe('the source tree', function()
  for _, path in ipairs(list "find runtime lua -name '*.[ch]' | sort") do
    it('is layered and short: ' .. path, function()
      local layer = layer_of(path)
      local own, system, lines = read(path)
      assert.is_true(lines <= LINES_MAX, lines .. ' lines')
      local longest, ends = longest_function(path)
      assert.is_true(longest <= FUNCTION_LINES_MAX, ('the function that ends at line %d has %d'):format(ends, longest))
      assert.is_truthy(rank[layer], 'no such layer: ' .. layer)

      for _, header in ipairs(own) do
        local target = layer_of(header)
        assert.is_true(rank[target] ~= nil and rank[target] <= rank[layer], header)
        if layer == 'lua' and target ~= 'lua' and target ~= 'base' then
          assert.is_true(LUA_MAY_USE[header] == true, header)
        end
      end
      for _, header in ipairs(system) do
        local allowed = RESTRICTED[header]
        assert.is_true(not allowed or allowed[layer] == true, header)
        assert.is_false(PURE[layer] == true and IMPURE_HEADERS[header] == true, header)
      end
    end)
  end

  for _, path in ipairs(list "find stdlib spec examples -name '*.lua' -o -path spec/support/\\*.c | sort") do
    it('is short: ' .. path, function()
      local _, _, lines = read(path)
      assert.is_true(lines <= LINES_MAX, lines .. ' lines')
    end)
  end

  it('has no C file outside runtime, lua, spec, bench and examples', function()
    local strays = list "git ls-files '*.c' '*.h' 2>/dev/null | grep -Ev '^(runtime|lua|spec|bench|examples)/'"
    assert.same({}, strays)
  end)
end)
