--- Follows log files of many nodes from anywhere, line by line, while they grow.
---   perilune run log_tail.lua --name web-1 -- web.log     on each node that has a log
---   perilune stream log.tail 10 --idle 0                  one of them, with its last ten lines first
---   perilune run log_tail.lua                             all of them

local fs = require 'perilune.fs'
local mesh = require 'perilune'

local TAIL_MAX = 64 * 1024 -- bytes that are looked through for the last lines
local LINE_MAX = 64 * 1024 -- what is longer comes in parts

local function open(path)
  return { file = fs.open(path), inode = fs.stat(path).inode, size = 0, rest = '' }
end

--- Hands all lines that have come since the last time to `fn`.
local function read_lines(log, fn)
  while true do
    local block = log.file:read(LINE_MAX)
    if not block then return end
    log.size = log.size + #block
    local text = log.rest .. block
    local whole = text:match '^.*\n' or ''
    log.rest = text:sub(#whole + 1)
    for line in whole:gmatch '([^\n]*)\n' do fn(line) end
    if #log.rest >= LINE_MAX then
      fn(log.rest)
      log.rest = ''
    end
  end
end

--- Hands the last `count` lines to `fn`, and goes to the end of what is whole.
local function read_last(log, path, count, fn)
  local skip = math.max(0, fs.stat(path).size - TAIL_MAX)
  log.file:seek('set', skip)
  log.size = skip
  local lines = {}
  read_lines(log, function(line) lines[#lines + 1] = line end)
  if skip > 0 then table.remove(lines, 1) end -- it may be a part
  for i = math.max(1, #lines - count + 1), #lines do fn(lines[i]) end
end

--- Hands each new line to `fn`, for ever: also when the file is cut, or another one takes its name.
local function follow(path, last, fn)
  local folder, name = path:match '^(.*/)([^/]*)$'
  local changes <close> = fs.watch(folder or '.')
  name = name or path
  local log = open(path)
  read_last(log, path, last, fn)
  for change in changes do
    if change.name == name or change.kind == 'overflow' then
      read_lines(log, fn)
      local ok, now = pcall(fs.stat, path)
      if ok and (now.inode ~= log.inode or now.size < log.size) then
        log.file:close()
        log = open(path)
        read_lines(log, fn)
      end
    end
  end
end

--- Prints what each node has to tell; those that come later are not forgotten.
local function print_all()
  local followed = {}

  local function print_one(node)
    local live = mesh.with { node = node.id, timeout = 0, idle = 0 }
    local ok, err = pcall(function()
      for line in live.stream('log.tail', 0) do print(('%s: %s'):format(node.name, line)) end
    end)
    if not ok then print(('%s: %s'):format(node.name, err)) end
    followed[node.id] = nil
  end

  mesh.every(0.5, function()
    for _, action in ipairs(mesh.actions()) do
      for _, node in ipairs(action.name == 'log.tail' and action.providers or {}) do
        followed[node.id] = followed[node.id] or mesh.spawn(print_one, node)
      end
    end
  end)
end

local path = arg[1]
if path then
  mesh.action('log.tail', function(last) follow(path, last or 0, coroutine.yield) end,
    { params = { '?int' }, chunks = { 'bytes' }, description = 'the lines of ' .. path .. ' as they come' })
else
  print_all()
end
