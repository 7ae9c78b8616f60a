--- Names and addresses, as the system resolves them. Failures are error objects with `details.errno`
--- (`EAI_NONAME`: there is no such name).

local core = require 'perilune.core.dns'
local check = require 'perilune.check'

local M = {}

--- The addresses of a name, best first.
---
---@param name string
---@param options { family: 'ipv4'|'ipv6'|nil }?
---@return string[]
function M.resolve(name, options)
  check.arg(name, 'text', 1, 'dns.resolve')
  options = check.options(options, { family = 'string' }, 2, 'dns.resolve')
  local family = options.family or 'any'
  if family ~= 'any' and family ~= 'ipv4' and family ~= 'ipv6' then
    error("option 'family' of dns.resolve: 'ipv4' or 'ipv6' expected", 2)
  end
  return core.resolve(name, family)
end

--- The name of an address.
---
---@param address string
---@return string
function M.reverse(address)
  check.arg(address, 'text', 1, 'dns.reverse')
  if not core.is_address(address) then
    error(("bad argument #1 to 'dns.reverse' ('%s' is not an address)"):format(address), 2)
  end
  return core.reverse(address)
end

return M
