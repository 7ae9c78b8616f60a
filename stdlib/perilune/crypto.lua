--- Digests, randomness, and bytes as text.

local core = require 'perilune.core.crypto'
local errors = require 'perilune.core.error'
local check = require 'perilune.check'

local M = {}

local function refuse(message)
  error(errors.new { code = 'INVALID', outcome = 'not_executed', message = message }, 0)
end

--- The SHA-256 of a string: 32 bytes, or 64 digits with `hex`.
---
---@param bytes string
---@param options { hex: boolean? }?
---@return string
function M.sha256(bytes, options)
  check.arg(bytes, 'bytes', 1, 'crypto.sha256')
  options = check.options(options, { hex = 'boolean' }, 2, 'crypto.sha256')
  local digest = core.sha256(bytes)
  return options.hex and core.hex(digest) or digest
end

---@class perilune.Hasher
---@field package core userdata
local Hasher = {}
Hasher.__index = Hasher
Hasher.__name = 'perilune.crypto.Hasher'

--- Adds bytes, however many.
---
---@param bytes string
---@return perilune.Hasher self
function Hasher:update(bytes)
  check.arg(bytes, 'bytes', 1, 'update')
  local at = 1
  repeat at = self.core:update(bytes, at) until at > #bytes
  return self
end

--- The digest of all bytes so far, to which more may be added: 32 bytes, or 64 digits with `hex`.
---
---@param options { hex: boolean? }?
---@return string
function Hasher:digest(options)
  options = check.options(options, { hex = 'boolean' }, 1, 'digest')
  local digest = self.core:digest()
  return options.hex and core.hex(digest) or digest
end

--- A SHA-256 of bytes that come in parts.
---
---@return perilune.Hasher
function M.hasher()
  return setmetatable({ core = core.hasher() }, Hasher)
end

--- The HMAC-SHA256 of a string: 32 bytes, or 64 digits with `hex`. Compare it with `equal`.
---
---@param key string
---@param bytes string
---@param options { hex: boolean? }?
---@return string
function M.hmac(key, bytes, options)
  check.arg(key, 'bytes', 1, 'crypto.hmac')
  check.arg(bytes, 'bytes', 2, 'crypto.hmac')
  options = check.options(options, { hex = 'boolean' }, 3, 'crypto.hmac')
  local digest = core.hmac(key, bytes)
  return options.hex and core.hex(digest) or digest
end

--- Compares two secrets in a time that does not tell where they differ.
---
---@param a string
---@param b string
---@return boolean
function M.equal(a, b)
  check.arg(a, 'bytes', 1, 'crypto.equal')
  check.arg(b, 'bytes', 2, 'crypto.equal')
  return core.equal(a, b)
end

--- Unpredictable bytes, for keys and tokens.
---
---@param n integer At most 1 MiB.
---@return string
function M.random(n)
  check.arg(n, 'integer', 1, 'crypto.random')
  if n < 0 or n > 1024 * 1024 then error("bad argument #1 to 'crypto.random' (out of range)", 2) end
  return core.random(n)
end

--- A UUID of version 7: later ones of this script sort behind, and one does not tell the next.
---
---@return string
function M.uuid()
  return core.uuid()
end

M.base64 = {}

local base64_options = { url = 'boolean' }
local to_url = { ['+'] = '-', ['/'] = '_', ['='] = '' }
local from_url = { ['-'] = '+', ['_'] = '/', ['+'] = '.', ['/'] = '.', ['='] = '.' }

--- Encodes bytes; with `url` in the alphabet of addresses and without padding.
---
---@param bytes string
---@param options { url: boolean? }?
---@return string
function M.base64.encode(bytes, options)
  check.arg(bytes, 'bytes', 1, 'base64.encode')
  options = check.options(options, base64_options, 2, 'base64.encode')
  local text = core.base64(bytes)
  return options.url and (text:gsub('[+/=]', to_url)) or text
end

--- Decodes what `encode` makes with the same options; anything else raises `INVALID`.
---
---@param text string
---@param options { url: boolean? }?
---@return string
function M.base64.decode(text, options)
  check.arg(text, 'string', 1, 'base64.decode')
  options = check.options(options, base64_options, 2, 'base64.decode')
  if options.url then text = text:gsub('[-_+/=]', from_url) .. ('='):rep(-#text % 4) end
  return core.unbase64(text) or refuse 'base64: not valid'
end

M.hex = {}

---@param bytes string
---@return string
function M.hex.encode(bytes)
  check.arg(bytes, 'bytes', 1, 'hex.encode')
  return core.hex(bytes)
end

--- Decodes pairs of digits of either case; anything else raises `INVALID`.
---
---@param text string
---@return string
function M.hex.decode(text)
  check.arg(text, 'string', 1, 'hex.decode')
  local bytes, at = core.unhex(text)
  if not bytes then refuse(('hex: not valid at byte %d'):format(at)) end
  return bytes
end

return M
