--- Reads what is typed at the terminal: a line editor with history, search and completion. What other tasks print
--- meanwhile is shown above the line.

local drawings = require 'perilune.repl.screen'
local keys = require 'perilune.repl.keys'
local lines = require 'perilune.repl.line'
local out = require 'perilune.repl.out'
local terminal = require 'perilune.core.terminal'

local M = {}

local ESCAPE_TIME = 0.1 -- seconds after which Escape is a key by itself
local LISTED = 100 -- completions that are shown
local ENTER, LEAVE = '\27[?2004h', '\27[?2004l' -- what is pasted is marked

---@class perilune.repl.Editor
---@field line perilune.repl.Line
---@field package drawing perilune.repl.Drawing
---@field package keys perilune.repl.Keys
---@field package events perilune.repl.Event[] Not handled yet.
---@field package history perilune.repl.History
---@field package complete fun(text: string): integer, string[]
---@field package is_whole fun(text: string): boolean
---@field package prompts string[]
---@field package place integer Entry of the history that is shown.
---@field package draft string What was typed before the history was gone through.
---@field package search { text: string, at: integer, before: string, failed: boolean }?
---@field package tabs integer Pressed in a row.
---@field editing boolean
local Editor = {}
Editor.__index = Editor

local function bell() out.put '\a' end

local function prompts(self)
  local search = self.search
  if search then
    local head = search.failed and '(not found) ' or '(search) '
    return { head .. search.text .. ': ', '' }
  end
  return self.drawing.columns < 20 and { '> ', '. ' } or self.prompts
end

local function draw(self)
  self.drawing:draw(self.line.text, self.line.at, prompts(self))
end

-- History.

local function recall(self, place)
  local entries = self.history.entries
  if place < 1 or place > #entries + 1 then return bell() end
  if self.place > #entries then self.draft = self.line.text end
  self.place = place
  self.line:set(entries[place] or self.draft)
end

local function go_up(self)
  if not self.line:move_line(-1) then recall(self, self.place - 1) end
end

local function go_down(self)
  if not self.line:move_line(1) then recall(self, self.place + 1) end
end

local function seek(self, from)
  local search = self.search
  local at = self.history:find(search.text, from)
  search.failed = at == nil
  if not at then return bell() end
  search.at = at
  self.line:set(self.history.entries[at])
end

local function begin_search(self)
  local search = self.search
  if not search then
    self.search = { text = '', at = #self.history.entries + 1, before = self.line.text, failed = false }
  elseif search.text ~= '' then
    seek(self, search.at)
  end
end

--- A key while the history is searched. Returns whether it was one of the search.
local function search_event(self, event)
  local search = self.search
  if event.text then
    search.text = (search.text .. event.text):sub(-200)
    seek(self, search.at + 1)
  elseif event.key == 'backspace' then
    search.text = search.text:sub(1, (utf8.offset(search.text, -1) or 1) - 1)
    if search.text ~= '' then seek(self, #self.history.entries + 1) end
  elseif event.key == 'ctrl-r' then
    begin_search(self)
  elseif event.key == 'ctrl-g' or event.key == 'escape' then
    self.line:set(search.before)
    self.search = nil
  else
    self.search = nil
    return false
  end
  return true
end

-- Completion.

--- Words in columns, as many as the terminal has room for.
local function in_columns(words, columns)
  local widest = 0
  for _, word in ipairs(words) do widest = math.max(widest, #word) end
  local per_row = math.max(1, columns // (widest + 2))
  local rows, row = {}, {}
  for i = 1, math.min(#words, LISTED) do
    row[#row + 1] = words[i] .. (' '):rep(widest + 2 - #words[i])
    if #row == per_row then rows[#rows + 1], row = table.concat(row):gsub(' +$', ''), {} end
  end
  if #row > 0 then rows[#rows + 1] = table.concat(row):gsub(' +$', '') end
  if #words > LISTED then rows[#rows + 1] = ('… %d more'):format(#words - LISTED) end
  return table.concat(rows, '\r\n')
end

local function common(words)
  local prefix = words[1]
  for _, word in ipairs(words) do
    while word:sub(1, #prefix) ~= prefix do prefix = prefix:sub(1, -2) end
  end
  return prefix
end

local function complete(self)
  local line = self.line
  local before = line.text:sub(1, line.at - 1)
  if not before:find '[^%s]$' then return line:insert '  ' end
  local from, words = self.complete(before)
  if #words == 0 then return bell() end
  local prefix = common(words)
  line:insert(prefix:sub(#before - from + 2))
  if #words == 1 or #prefix > #before - from + 1 then return end
  if self.tabs < 2 then return bell() end
  self.drawing:leave(line.text, prompts(self))
  out.put(in_columns(words, self.drawing.columns), '\r\n')
end

-- Keys.

local moves = {
  left = 'left', right = 'right', home = 'home', ['end'] = 'last', delete = 'delete', backspace = 'backspace',
  ['ctrl-b'] = 'left', ['ctrl-f'] = 'right', ['ctrl-a'] = 'home', ['ctrl-e'] = 'last',
  ['ctrl-left'] = 'word_left', ['ctrl-right'] = 'word_right', ['alt-left'] = 'word_left',
  ['alt-right'] = 'word_right', ['alt-b'] = 'word_left', ['alt-f'] = 'word_right',
  ['ctrl-k'] = 'cut_to_end', ['ctrl-u'] = 'cut_to_home', ['ctrl-w'] = 'cut_word', ['alt-backspace'] = 'cut_word',
  ['alt-d'] = 'cut_word_after', ['ctrl-y'] = 'put_back', ['ctrl-d'] = 'delete',
}

local function insert(self, text)
  if not self.line:insert(text) then bell() end
end

--- Enter: at the end of what is not whole it begins a new line.
local function enter(self)
  if not self.is_whole(self.line.text) then return insert(self, '\n') end
  return 'done'
end

local actions = {
  enter = enter,
  ['alt-enter'] = function(self) insert(self, '\n') end,
  tab = complete,
  up = go_up, ['ctrl-p'] = go_up,
  down = go_down, ['ctrl-n'] = go_down,
  ['ctrl-r'] = begin_search,
  ['ctrl-l'] = function(self) self.drawing:clear() end,
  ['ctrl-c'] = function() return 'discard' end, -- where the terminal does not make a signal of it
}

--- Handles one event. Returns `done`, `discard` or `quit` when the reading ends with it.
local function handle(self, event)
  self.tabs = event.key == 'tab' and self.tabs + 1 or 0
  if self.search and search_event(self, event) then return end
  if event.text or event.paste then return insert(self, event.text or event.paste) end
  if event.key == 'ctrl-d' and self.line.text == '' then return 'quit' end
  local move = moves[event.key]
  if move then return self.line:move(move) end
  local action = actions[event.key]
  return action and action(self)
end

local function handle_all(self)
  while #self.events > 0 do
    local verdict = handle(self, table.remove(self.events, 1))
    if verdict then return verdict end
  end
end

-- What happens meanwhile.

local happenings = {
  input = function(self)
    local bytes = terminal.read()
    if not bytes then return 'gone' end
    for _, event in ipairs(self.keys:feed(bytes)) do self.events[#self.events + 1] = event end
  end,
  timeout = function(self)
    self.keys:give_up()
    self.events[#self.events + 1] = { key = 'escape' }
  end,
  resize = function(self)
    self.drawing:hide()
    self.drawing:resize(terminal.size())
  end,
  interrupt = function() return 'discard' end,
  log = function(self) self:show_above(terminal.logged()) end,
}

--- Text of others, above the line. What is not a whole line waits for its end.
---
---@param text string
function Editor:show_above(text)
  self.partial = self.partial .. text
  local whole, rest = self.partial:match '^(.*\n)([^\n]*)$'
  if not whole and #self.partial > 65536 then whole, rest = self.partial .. '\n', '' end
  if not whole then return end
  self.partial = rest
  self.drawing:hide()
  out.put(whole)
  draw(self)
end

local function wait(self)
  local seconds = nil
  if self.keys:is_waiting() then seconds = ESCAPE_TIME end
  return happenings[terminal.wait(seconds)](self)
end

local function edit(self)
  while true do
    local verdict = handle_all(self)
    if verdict then return verdict end
    draw(self)
    verdict = wait(self)
    if verdict then return verdict end
  end
end

--- Shows what was typed as it stays there, and gives the terminal back.
local function finish(self, verdict)
  self.search = nil
  local ending = verdict == 'discard' and '^C' or ''
  if verdict ~= 'gone' then self.drawing:leave(self.line.text, prompts(self), ending) end
  self.editing = false
  terminal.cooked()
  out.put(self.partial, self.partial ~= '' and '\n' or '', terminal.logged())
  self.partial = ''
end

--- Reads what is typed until it is whole. Returns it, or why there is nothing: `discard` (Ctrl-C), `quit` (Ctrl-D) or
--- `gone` (the terminal).
---
---@return string? text
---@return string? why
function Editor:read()
  self.line:set ''
  self.place, self.draft, self.tabs = #self.history.entries + 1, '', 0
  terminal.raw(ENTER, LEAVE)
  self.drawing:resize(terminal.size())
  self.editing = true
  local ok, verdict = pcall(edit, self)
  finish(self, ok and verdict or 'gone')
  if not ok then error(verdict, 0) end
  if verdict ~= 'done' then return nil, verdict end
  self.history:add(self.line.text)
  return self.line.text
end

---@class perilune.repl.EditorOptions
---@field prompts string[] Of the first line, and of the others.
---@field history perilune.repl.History
---@field complete fun(text: string): integer, string[] What may stand for the end of the text.
---@field is_whole fun(text: string): boolean

---@param options perilune.repl.EditorOptions
---@return perilune.repl.Editor
function M.new(options)
  return setmetatable({
    line = lines.new(), drawing = drawings.new(), keys = keys.new(), events = {}, partial = '', tabs = 0,
    history = options.history, complete = options.complete, is_whole = options.is_whole, prompts = options.prompts,
    editing = false,
  }, Editor)
end

return M
