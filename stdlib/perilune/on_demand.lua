--- A function of a module that few scripts use, which is loaded with its first call: a VM holds less until then, and
--- its collector has less to mark.

local require = require -- a script may put another one in its place

---@param module string
---@param name string
---@return function
return function(module, name)
  return function(...) return require(module)[name](...) end
end
