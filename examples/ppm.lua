--- Pictures as PPM (colour) and PGM (grey), in plain Lua: bytes behind a line or two of text.

local M = {}

local CHANNELS = { P5 = 1, P6 = 3 }

local function refuse(text)
  error { code = 'NOT_A_PICTURE', message = text }
end

--- The next word of the header and the position behind it; comments go to the end of their line.
local function word(data, at)
  local first, last = data:find('^%s*%d+', at)
  while not first do
    local _, comment_end = data:find('^%s*#[^\n]*\n', at)
    if not comment_end then refuse 'the header is not as it should be' end
    at = comment_end + 1
    first, last = data:find('^%s*%d+', at)
  end
  return tonumber(data:sub(first, last)), last + 1
end

--- Returns width, height, channels, and where the pixels begin.
---
---@param data string
---@return integer width, integer height, integer channels, integer first
function M.header(data)
  local channels = CHANNELS[data:sub(1, 2)] or refuse 'it is neither P5 (PGM) nor P6 (PPM)'
  local width, height, depth, at
  width, at = word(data, 3)
  height, at = word(data, at)
  depth, at = word(data, at)
  if depth ~= 255 then refuse 'only pictures with a byte for each colour are understood' end
  if width == 0 or height == 0 or #data - at < width * height * channels then refuse 'pixels are missing' end
  return width, height, channels, at + 1
end

--- The mean of each channel over a rectangle of pixels, as bytes.
local function mean(data, channels, stride, first, columns, rows)
  local sums, count = { 0, 0, 0 }, columns * rows
  for row = 0, rows - 1 do
    local from = first + row * stride
    for at = from, from + (columns - 1) * channels, channels do
      for channel = 1, channels do sums[channel] = sums[channel] + data:byte(at + channel - 1) end
    end
  end
  for channel = 1, channels do sums[channel] = (sums[channel] + count // 2) // count end
  return string.char(table.unpack(sums, 1, channels))
end

--- Makes a picture smaller: each new pixel is the mean of those that it stands for. One that is small enough stays.
---
---@param data string
---@param width integer Of the new picture; its height follows.
---@return string data, integer width, integer height
function M.shrink(data, width)
  local old_width, old_height, channels, first = M.header(data)
  if old_width <= width then return data, old_width, old_height end
  local height = math.max(1, old_height * width // old_width)
  local stride, pixels = old_width * channels, {}
  for y = 0, height - 1 do
    local top, bottom = y * old_height // height, (y + 1) * old_height // height
    for x = 0, width - 1 do
      local left, right = x * old_width // width, (x + 1) * old_width // width
      local corner = first + top * stride + left * channels
      pixels[#pixels + 1] = mean(data, channels, stride, corner, right - left, bottom - top)
    end
  end
  return ('%s\n%d %d\n255\n'):format(data:sub(1, 2), width, height) .. table.concat(pixels), width, height
end

return M
