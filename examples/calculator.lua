--- A calculator: results, several of them, errors with a code, and a stream in both directions.
---   perilune run calculator.lua
---   perilune call add 2 3        perilune call divide 7 2        perilune call divide 1 0

local mesh = require 'perilune'

--- An action that takes any number of numbers and folds them.
local function fold(name, fn, description)
  mesh.action(name, function(first, ...)
    local result = first
    for i = 1, select('#', ...) do result = fn(result, (select(i, ...))) end
    return result
  end, { params = { 'number', 'number...' }, returns = { 'number' }, idempotent = true, description = description })
end

fold('add', function(a, b) return a + b end, 'the sum of all arguments')
fold('subtract', function(a, b) return a - b end, 'the first argument less all others')
fold('multiply', function(a, b) return a * b end, 'the product of all arguments')

--- Two results: quotient and remainder.
mesh.action('divide', function(a, b)
  if b == 0 then error { code = 'DIVISION_BY_ZERO', message = ('%s cannot be divided by 0'):format(a) } end
  return a // b, a % b
end, { params = { 'number', 'number' }, returns = { 'number', 'number' }, idempotent = true,
  description = 'quotient and remainder' })

--- Takes numbers as they come and yields the sum so far for each; the result is their mean.
mesh.action('totals', function()
  local total, count = 0, 0
  for number in mesh.input() do
    if type(number) ~= 'number' then error { code = 'NOT_A_NUMBER', message = 'only numbers can be summed up' } end
    total, count = total + number, count + 1
    coroutine.yield(total)
  end
  return count > 0 and total / count or nil
end, { params = {}, chunks = { 'number' }, returns = { '?number' }, description = 'running totals of what is sent' })
