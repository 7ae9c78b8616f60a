--- Key files for specs.
---
---     local file = keys.file(keys.ONE)               -- of mode 600, gone after the test
---     keys.replace(file, keys.TWO, keys.ONE)

local process = require 'spec.support.process'

local M = {
  ONE = 'correct-horse-battery-staple', TWO = 'another-key-of-some-length', THREE = 'a-third-key-of-some-length',
}

local function write(path, lines, mode)
  local file <close> = assert(io.open(path, 'wb'))
  file:write(table.concat(lines, '\n'), '\n')
  assert(os.execute(('chmod %s %q'):format(mode or '600', path)))
end

---@param ... string The keys.
---@return string # the path
function M.file(...)
  local path = process.temp_dir() .. '/mesh.key'
  write(path, { ... })
  return path
end

--- Writes other keys, in one step as `mv` does.
function M.replace(path, ...)
  write(path .. '.new', { ... })
  assert(os.rename(path .. '.new', path))
end

--- A file of any content and mode.
function M.odd(content, mode)
  local path = process.temp_dir { ['odd.key'] = content } .. '/odd.key'
  assert(os.execute(('chmod %s %q'):format(mode, path)))
  return path
end

return M
