--- What a terminal sends, as keys: bytes in pieces of any size become events.

local M = {}

---@class perilune.repl.Event
---@field key string? 'enter', 'left', 'ctrl-a', 'alt-b', …
---@field text string? What was typed, as UTF-8.
---@field paste string? What was pasted.

local SEQUENCE_MAX = 32 -- bytes of an escape sequence
local PASTE_MAX = 256 * 1024 -- bytes; what is more is dropped
local PASTE_END = '\27[201~'

local finals = {
  A = 'up', B = 'down', C = 'right', D = 'left', H = 'home', F = 'end', Z = 'shift-tab',
}
local numbers = {
  ['1'] = 'home', ['2'] = 'insert', ['3'] = 'delete', ['4'] = 'end', ['5'] = 'page-up', ['6'] = 'page-down',
  ['7'] = 'home', ['8'] = 'end',
}
local modifiers = { ['3'] = 'alt-', ['5'] = 'ctrl-', ['7'] = 'ctrl-' }
local controls = { ['\r'] = 'enter', ['\n'] = 'enter', ['\t'] = 'tab', ['\127'] = 'backspace', ['\8'] = 'backspace' }

---@class perilune.repl.Keys
---@field package rest string Bytes of what is not whole.
---@field package pasted string[]? Pieces, while something is pasted.
---@field package pasted_size integer
local Keys = {}
Keys.__index = Keys

local function key_of(parameters, final)
  local number, modifier = parameters:match '^(%d*);?(%d*)'
  local name = final == '~' and numbers[number] or finals[final]
  if not name then return nil end
  return (modifiers[modifier] or '') .. name
end

--- The event of an escape sequence at `at`, and where the next begins; no event: it means nothing here. Nothing at
--- all: it is not whole.
local function escape(self, text, at)
  local second = text:sub(at + 1, at + 1)
  if second == '' then return nil end
  if second ~= '[' and second ~= 'O' then
    local character = text:match('^[%z\1-\127]', at + 1)
    if not character then return at + 1 end
    local control = controls[character]
    return at + 2, { key = 'alt-' .. (control or character:lower()) }
  end
  local parameters, final, after = text:match('^([%d;?<=>]*)([@-~])()', at + 2)
  if not final then
    if text:find('^[%d;?<=>]*[^%d;?<=>]', at + 2) or #text - at > SEQUENCE_MAX then return at + 2 end
    return nil
  end
  if parameters == '200' and final == '~' then
    self.pasted, self.pasted_size = {}, 0
    return after
  end
  local key = key_of(parameters, final)
  return after, key and { key = key } or nil
end

local function keep(self, piece)
  local room = PASTE_MAX - self.pasted_size
  self.pasted[#self.pasted + 1] = piece:sub(1, room)
  self.pasted_size = self.pasted_size + math.min(#piece, room)
end

--- Line ends of all kinds are newlines, and what would steer the terminal is left out.
local function clean(text)
  text = text:gsub('\r\n?', '\n'):gsub('[%z\1-\8\11-\31\127]', '')
  if utf8.len(text) then return (text:gsub('\194[\128-\159]', '')) end
  return (text:gsub('[\128-\255]', '?'))
end

local function paste(self, text, at)
  local first, last = text:find(PASTE_END, at, true)
  if first then
    keep(self, text:sub(at, first - 1))
    local event = { paste = clean(table.concat(self.pasted)) }
    self.pasted = nil
    return last + 1, event
  end
  local hold = math.max(at, #text - #PASTE_END + 2) -- its end may have begun
  keep(self, text:sub(at, hold - 1))
  return hold > at and hold or nil
end

--- The characters from `at` on, as far as they are whole.
local function characters(text, at)
  local run = text:match('^[\32-\126]+', at)
  if run then return at + #run, { text = run } end
  local one = text:match('^[\194-\244][\128-\191]*', at)
  local length = one and (one:byte() < 0xe0 and 2 or one:byte() < 0xf0 and 3 or 4)
  if one and #one < length and at + #one > #text then return nil end
  local whole = one and one:sub(1, length)
  if not whole or not utf8.len(whole) then return at + 1 end
  if whole:find '^\194[\128-\159]' then return at + 2 end
  return at + #whole, { text = whole }
end

local function step(self, text, at)
  if self.pasted then return paste(self, text, at) end
  local byte = text:sub(at, at)
  if byte == '\27' then return escape(self, text, at) end
  if controls[byte] then return at + 1, { key = controls[byte] } end
  if byte == '\0' then return at + 1, { key = 'ctrl-space' } end
  if byte < ' ' then return at + 1, { key = 'ctrl-' .. string.char(byte:byte() | 0x60) } end
  return characters(text, at)
end

--- Takes bytes and returns what they mean.
---
---@param bytes string
---@return perilune.repl.Event[]
function Keys:feed(bytes)
  local text, at, events = self.rest .. bytes, 1, {}
  while at <= #text do
    local after, event = step(self, text, at)
    if not after then break end
    events[#events + 1] = event
    at = after
  end
  self.rest = text:sub(at)
  return events
end

--- Whether something is not whole that may be a key by itself, as Escape is, when nothing follows.
---@return boolean
function Keys:is_waiting() return not self.pasted and self.rest:sub(1, 1) == '\27' end

--- Nothing has followed for a while.
function Keys:give_up() self.rest = '' end

---@return perilune.repl.Keys
function M.new() return setmetatable({ rest = '', pasted_size = 0 }, Keys) end

return M
