--- A service that works on text files: counts words and finds lines, and streams what it has while it reads.

local fs = require 'perilune.fs'
local log = require 'perilune.log'
local mesh = require 'perilune'

local REPORT_EVERY = 2 * 1024 * 1024 -- bytes between two reports

--- The `n` most frequent words, the most frequent first.
local function top(counts, n)
  local words = {}
  for word in pairs(counts) do
    words[#words + 1] = word
  end
  table.sort(words, function(a, b)
    if counts[a] ~= counts[b] then return counts[a] > counts[b] end
    return a < b
  end)
  local best = {}
  for i = 1, math.min(n, #words) do
    best[i] = { word = words[i], count = counts[words[i]] }
  end
  return best
end

--- Streams {bytes, total, top} while it reads; returns the words in all and the different ones.
mesh.action('words', function(path)
  local counts, words, different, bytes = {}, 0, 0, 0
  local size, next_report, rest = fs.stat(path).size, REPORT_EVERY, ''

  local function count(text)
    for word in text:gmatch '%a+' do
      word = word:lower()
      local before = counts[word]
      if not before then different = different + 1 end
      counts[word] = (before or 0) + 1
      words = words + 1
    end
  end

  for block in fs.chunks(path, 256 * 1024) do
    bytes = bytes + #block
    local text = rest .. block
    rest = text:match '%a*$' -- a word may go on in the next block
    count(text:sub(1, #text - #rest))
    if bytes >= next_report then
      next_report = next_report + REPORT_EVERY
      coroutine.yield { bytes = bytes, total = size, top = top(counts, 10) }
    end
  end
  count(rest)
  coroutine.yield { bytes = bytes, total = size, top = top(counts, 10) }
  return words, different
end, { description = 'counts the words of a file, streaming the ten most frequent so far' })

--- Streams (number, line) for every line that holds the text.
mesh.action('search', function(path, text)
  local number, found = 0, 0
  local _ <close> = setmetatable({}, {
    __close = function(_, err)
      log.info(err and 'search stopped by its reader' or 'search finished', { lines = number, found = found })
    end,
  })
  for line in fs.lines(path) do
    number = number + 1
    if line:find(text, 1, true) then
      found = found + 1
      coroutine.yield(number, line)
    end
  end
  return found
end, { description = 'streams the lines of a file that hold a text' })

mesh.action('length', function(word) return #word end)

--- Takes a moment; returns who did it. May run twice, so a call whose path is lost is repeated on another.
mesh.action('task', function()
  mesh.sleep(0.005)
  return mesh.self().name
end, { idempotent = true, description = 'takes 5 ms and returns the name of the worker' })
