--- Errors without their tracebacks, for those who need not see the inside of a node.

local testing = require 'perilune.testing'
local message, put = testing.wire.message, testing.wire.msgpack.put

local function str(text) return put('str', text) end

local function map(...)
  local parts = { ... }
  return put('map', #parts // 2) .. table.concat(parts)
end

local function blind(fields)
  local body = assert(message.blind(assert(message.encode('error', fields))))
  return assert(message.decode('error', body))
end

describe('an error that is blinded', function()
  it('has no traceback, and all else', function()
    local fields = {
      code = -14, outcome = 3, message = 'boom at app.lua:3', name = 'MINE', action = 'a', node = ('n'):rep(16),
      details = map(str 'traceback', str 'is what the script says'), retry_after_ms = 7,
    }
    local whole = { traceback = 'app.lua:3: in x' }
    for key, value in pairs(fields) do whole[key] = value end
    assert.same(fields, blind(whole))
    assert.same(fields, blind(fields))
  end)

  it('has none in its causes either, however deep', function()
    local function cause(depth, seen)
      local fields = { str 'code', str 'MINE', str 'message', str 'boom', put('int', 1), put('float', 0.5) }
      if seen then
        table.insert(fields, 1, str 'traceback')
        table.insert(fields, 2, str 'secret')
        fields[#fields + 1] = put('bin', 'traceback')
        fields[#fields + 1] = put('array', 1) .. str 'secret'
      end
      if depth > 0 then
        fields[#fields + 1] = str 'cause'
        fields[#fields + 1] = cause(depth - 1, seen)
      end
      return map(table.unpack(fields))
    end
    for _, depth in ipairs { 0, 1, 2, 30, 62 } do
      local body = blind { code = -14, cause = cause(depth, true) }
      assert.equal(cause(depth, false), body.cause)
      assert.is_nil(body.cause:find('secret', 1, true))
    end
  end)

  it('keeps causes that are no errors', function()
    for _, raw in ipairs {
      str 'traceback', put('nil'), put('int', 5), put('array', 2) .. str 'traceback' .. str 'x', map(),
      map(str 'tracebacks', str 'x', str 'trace', str 'y', put('int', 3), str 'cause'),
      map(put('array', 1) .. str 'traceback', str 'x'), map(put('float', 1), map(str 'traceback', str 'not a cause')),
    } do
      assert.equal(raw, blind({ code = -1, cause = raw }).cause)
    end
  end)

  it('takes a cause with many fields', function()
    local parts = {}
    for i = 1, 300 do
      parts[#parts + 1] = str(i % 3 == 0 and 'traceback' or 'field' .. i)
      parts[#parts + 1] = put('int', i)
    end
    local cause = blind({ code = -1, cause = map(table.unpack(parts)) }).cause
    assert.equal(put('map', 200), cause:sub(1, 3))
    assert.is_nil(cause:find('traceback', 1, true))
  end)
end)
