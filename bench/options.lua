--- The arguments of bench/run.

local USAGE = [[
usage: bench/run [--quick] [--rounds N] [--seconds S] [--only WORKLOAD,…] [--cpu N]
                 [--markdown] [--json FILE] [--bin DIR]

  --quick    one round, half a second a workload
  --markdown prints the table as docs/performance.md has it
  --json     where to write the figures (bench/results.json)
  --bin      take the executables from DIR and build nothing
  --only     of %s;
             %s take their time, and run
             only when they are named, in the first round
]]

local WIDTH = 80

--- Names of rows, in lines that begin below the first.
local function names(rows, rare)
  local lines = { '' }
  for _, row in ipairs(rows) do
    if (row.rare or false) == rare then
      if #lines[#lines] + #row.name > WIDTH then lines[#lines + 1] = '' end
      lines[#lines] = lines[#lines] .. (lines[#lines] == '' and '' or ' ') .. row.name
    end
  end
  return table.concat(lines, '\n' .. (' '):rep(13))
end

--- What they say. Ends the process where they are wrong.
return function(args, root, rows)
  local o = { rounds = 3, seconds = 1, cpu = 0, json = root .. '/bench/results.json' }
  local i = 1
  while i <= #args do
    local name = args[i]:match '^%-%-(%l+)$'
    if name == 'quick' then
      o.rounds, o.seconds, i = 1, 0.5, i + 1
    elseif name == 'markdown' then
      o.markdown, i = true, i + 1
    elseif name == 'rounds' or name == 'seconds' or name == 'cpu' then
      o[name], i = tonumber(args[i + 1]), i + 2
    elseif name == 'only' or name == 'json' or name == 'bin' then
      o[name], i = args[i + 1], i + 2
    else
      o.rounds = nil
      break
    end
  end
  local rounds_ok = o.rounds and o.rounds >= 1
  if rounds_ok and o.seconds and o.seconds > 0 and o.cpu and o.json then return o end
  io.stderr:write(USAGE:format(names(rows, false), names(rows, true)))
  os.exit(2)
end
