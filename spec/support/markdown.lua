--- Reads the samples out of a page of Markdown, and compares output with what it shows.
--- docs/contributing.md says how samples are marked.

local M = {}

---@class spec.Sample
---@field line integer Where its fence opens.
---@field language string
---@field text string
---@field kind 'run'|'file'|'norun'|nil The marker before it.
---@field argument string What follows the marker on its line.
---@field expected string[] Lines of the marker after the first: the output.

local KINDS = { run = true, file = true, norun = true }

--- '<!-- run: with a.lua' and the lines up to '-->'
local function parse_marker(comment)
  local kind, argument, rest = comment:match '^<!%-%-%s*(%l+):[ \t]*([^\n]*)\n?(.*)$'
  if not KINDS[kind] then return nil end
  local expected = {}
  for line in rest:gmatch '([^\n]*)\n' do expected[#expected + 1] = line end
  return { kind = kind, argument = argument:match '^(.-)%s*$', expected = expected }
end

--- All fenced blocks of a page.
---@param text string
---@return spec.Sample[]
function M.samples(text)
  local samples, number = {}, 0
  local open, comment, marker
  for line in (text .. '\n'):gmatch '([^\n]*)\n' do
    number = number + 1
    if open then
      if line:match '^```%s*$' then
        samples[#samples + 1], open = open, nil
      else
        open.text = open.text .. line .. '\n'
      end
    elseif line:match '^```' then
      open = marker or { expected = {} }
      open.line, open.language, open.text = number, line:match '^```(%w*)', ''
      marker = nil
    elseif comment or line:match '^<!%-%-' then
      local last = line:match '^(.-)%s*%-%->%s*$'
      comment = (comment or '') .. (last or line) .. (last == '' and '' or '\n')
      if last then marker, comment = parse_marker(comment), nil end
    elseif line:match '%S' then
      marker = nil -- it belongs to the block right after it
    end
  end
  if open or comment then error('a block or comment does not end', 0) end
  return samples
end

---@class spec.Command
---@field command string
---@field background boolean Written with `&` at its end.
---@field code integer Expected, written `# exit 1`; else 0.
---@field output string[] The lines shown after it.

--- The commands of a console block: `$ command`, then its output.
---@param text string
---@return spec.Command[]
function M.commands(text)
  local commands = {}
  for line in text:gmatch '([^\n]*)\n' do
    local command = line:match '^%$ (.*)$'
    if command then
      local plain, ampersand = command:match '^(.-)%s*(&)%s*$'
      commands[#commands + 1] = {
        command = plain or command,
        background = ampersand ~= nil,
        code = tonumber(command:match '# exit (%d+)%s*$') or 0,
        output = {},
      }
    elseif commands[1] then
      table.insert(commands[#commands].output, line)
    else
      error('a console block begins with `$ `', 0)
    end
  end
  return commands
end

--- A line of shown output as a pattern: `...` in it stands for anything.
---@param line string
function M.line_pattern(line)
  local escaped = line:gsub('%p', '%%%0'):gsub('%%%.%%%.%%%.', '.-')
  return '^' .. escaped .. '%s*$'
end

--- Whether lines are as shown; a line `...` stands for any number of lines.
local function lines_match(shown, i, lines, j)
  if i > #shown then return j > #lines end
  if shown[i]:match '^%s*%.%.%.%s*$' then
    for k = j, #lines + 1 do
      if lines_match(shown, i + 1, lines, k) then return true end
    end
    return false
  end
  return lines[j] ~= nil and lines[j]:find(M.line_pattern(shown[i])) ~= nil
    and lines_match(shown, i + 1, lines, j + 1)
end

---@param shown string[]
---@param output string
function M.output_matches(shown, output)
  local lines = {}
  for line in output:gmatch '([^\n]*)\n?' do lines[#lines + 1] = line end
  while lines[1] and lines[#lines] == '' do lines[#lines] = nil end
  return lines_match(shown, 1, lines, 1)
end

return M
