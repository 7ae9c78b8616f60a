--- The processes that the benchmark starts.

local M = {}

function M.fail(message)
  io.stderr:write('bench: ', message, '\n')
  os.exit(1, true)
end

function M.quoted(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

--- What a command prints, without the last newline, and whether it succeeded.
function M.output(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read('a'):gsub('\n$', '')
  return text, pipe:close() == true
end

--- Replaces the words in capitals of a command by what they stand for.
function M.filled(command, values)
  return (command:gsub('%f[%w]%u+%f[^%w]', values))
end

--- What goes in front of a command so that it runs on the CPU of `o.cpu`, or 'all'.
function M.on(o)
  return o.cpu == 'all' and '' or ('taskset -c %d '):format(o.cpu)
end

--- Starts a server; closing the result stops it. The time limit is for a benchmark that was killed.
function M.start_server(command, o)
  command = 'timeout --foreground 3600 ' .. M.on(o) .. M.filled(command, { URL = 'tcp://127.0.0.1:0' })
  local pipe = assert(io.popen('echo $$; exec ' .. command .. ' 2>&1'))
  local server = { pid = pipe:read 'l' }
  setmetatable(server, {
    __close = function()
      os.execute('kill ' .. server.pid .. ' 2>/dev/null')
      pipe:close()
    end,
  })

  local said = {}
  for line in pipe:lines() do
    server.url = line:match '^ready .*listen=([^%s,]+)'
    if server.url then return server end
    said[#said + 1] = line
  end
  M.fail('no ready line from: ' .. command .. '\n' .. table.concat(said, '\n'))
end

--- A line of "name=value" as a table, its numbers converted.
function M.fields(line)
  local found = {}
  for name, value in line:gmatch '([%w_]+)=(%S+)' do found[name] = tonumber(value) or value end
  return found
end

--- The number of a process that a server runs in.
function M.process_of(server)
  local children = assert(io.open(('/proc/%s/task/%s/children'):format(server.pid, server.pid))):read 'a'
  return children:match '%d+'
end

return M
