--- Runs the specs with busted, inside perilune_spec:
---
---     perilune_spec spec/run.lua [BUSTED-ARGUMENT | FILE | FOLDER]...
---
--- Without a file or folder it runs all. Arguments are busted's own: `--filter=TEXT`,
--- `--repeat=N`, `--output=gtest`, ...

local lfs = require 'lfs'

io.stdout:setvbuf 'line' -- what finds a leak at the very end leaves nothing behind that was not written
assert(lfs.chdir(arg[0]:match '^(.*)/spec/[^/]*$' or '.'))

--- Whether an argument names something to run; the value of an option before it does not.
local function is_target(i)
  local previous = arg[i - 1] or ''
  return lfs.attributes(arg[i]) ~= nil and not previous:find '^%-'
end

local has_target = false
for i = 1, #arg do
  has_target = has_target or is_target(i)
  if arg[i]:find '^spec/' and not lfs.attributes(arg[i]) then
    io.stderr:write(('%s: there is no such file or folder of specs\n'):format(arg[i]))
    os.exit(2)
  end
end

local defaults = { '--helper=spec/support/helper.lua', '--pattern=_spec%.lua$', '--output=plainTerminal' }
for i, option in ipairs(defaults) do table.insert(arg, i, option) end
if not has_target then
  table.insert(arg, 'spec/unit')
  table.insert(arg, 'spec/functional')
end

-- standalone = false: it returns when all passed, and this script ends with 0.
require 'busted.runner' { standalone = false }
