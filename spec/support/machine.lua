--- What the machine that runs the specs has, for those that need it. Without, they are pending, not failed:
---
---     if not machine.has_ipv6() then pending 'needs IPv6' end

local M = {}

--- Whether ::1 is an address of it.
---@return boolean
function M.has_ipv6()
  local file <close> = io.open '/proc/net/if_inet6'
  return file ~= nil and file:read('a'):find(('0'):rep(31) .. '1 ', 1, true) ~= nil
end

--- The user who runs the specs.
---@return integer
function M.uid()
  local id <close> = assert(io.popen 'id -u')
  return id:read 'n'
end

--- Whether files can be given to other users.
---@return boolean
function M.is_root() return M.uid() == 0 end

return M
