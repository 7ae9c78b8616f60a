--- perilune completion SHELL: what makes a shell ask for the words that may stand at the cursor.
---
--- Asked for words of the mesh it runs with `actions` or `nodes`, what every answer begins with,
--- and what is typed of it.

local client = require 'perilune.cli.client'
local mesh = require 'perilune'
local node = require 'perilune.core.node'

local SHELLS = {}

-- Bash cuts words at '=' and ':', and replaces only the part behind the last cut.
SHELLS.bash = [==[
# Completion of perilune for bash.
_perilune() {
  local line=${COMP_LINE:0:COMP_POINT} words=() word rest i cut answer
  for ((i = 0; i <= COMP_CWORD; i++)); do
    rest=${line#"${line%%[![:space:]]*}"}
    word=${COMP_WORDS[i]}
    [ "$i" -lt "$COMP_CWORD" ] || word=${rest:0:${#word}}
    if [ "$rest" != "$line" ] || [ ${#words[@]} -eq 0 ]; then words+=("$word"); else words[-1]+=$word; fi
    line=${rest#"$word"}
  done
  case $word in = | :) word= ;; esac
  local current=${words[-1]}
  cut=${current%"$word"}
  COMPREPLY=()
  while IFS= read -r answer; do
    case $answer in
      :files | :folders)
        rest=-f
        [ "$answer" = :files ] || rest=-d
        compopt -o filenames 2>/dev/null
        while IFS= read -r answer; do COMPREPLY+=("$answer"); done < <(compgen "$rest" -- "$word")
        ;;
      *)
        answer=${answer%%$'\t'*}
        printf -v answer %q "${answer#"$cut"}"
        COMPREPLY+=("$answer")
        ;;
    esac
  done < <("${words[0]}" completion words -- "${words[@]:1}" 2>/dev/null)
}
complete -F _perilune perilune
]==]

SHELLS.zsh = [==[
#compdef perilune
# Completion of perilune for zsh.
_perilune() {
  local answer
  local -a answers
  while IFS= read -r answer; do
    case $answer in
      :files) _files ;;
      :folders) _files -/ ;;
      *) answers+=("${${answer%%$'\t'*}//:/\\:}:${answer#*$'\t'}") ;;
    esac
  done < <("${(Q)words[1]}" completion words -- "${(@Q)words[2,CURRENT]}" 2>/dev/null)
  (( ${#answers} )) && _describe -t words perilune answers
}
if [ "$funcstack[1]" = _perilune ]; then _perilune "$@"; else compdef _perilune perilune; fi
]==]

SHELLS.fish = [==[
# Completion of perilune for fish.
function __perilune_answers
  set -l words (commandline -opc) (commandline -ct)
  for answer in ($words[1] completion words -- $words[2..-1] 2>/dev/null)
    switch $answer
      case :files
        __fish_complete_path (commandline -ct)
      case :folders
        __fish_complete_directories (commandline -ct)
      case '*'
        echo $answer
    end
  end
end
complete -c perilune -f -a '(__perilune_answers)'
]==]

-- What stands behind the word, in one line.
local function meaning(text)
  return text:gsub('%s+', ' '):gsub('%c', '')
end

local ASK = {}

function ASK.actions()
  local list = {}
  for _, action in ipairs(mesh.actions()) do
    list[#list + 1] = { action.name, meaning(tostring(action.description or '')) }
  end
  return list
end

function ASK.nodes()
  local list = {}
  for _, other in ipairs(mesh.nodes()) do
    if other.hops > 0 then list[#list + 1] = { other.name, other.state } end
  end
  return list
end

--- Prints what the mesh knows within the time in which a connection must stand. Silent whatever
--- goes wrong: the user is in the midst of typing.
local function answer(what, lead, typed)
  mesh.spawn(function()
    mesh.sleep(node.options().connect_timeout.value)
    os.exit(0)
  end)
  local ok, list = pcall(ASK[what])
  local lines = {}
  for _, entry in ipairs(ok and list or {}) do
    local word, text = entry[1], entry[2]
    local fits = word:sub(1, #typed) == typed and not word:find '%c'
    if fits then lines[#lines + 1] = ('%s%s\t%s\n'):format(lead, word, text) end
  end
  table.sort(lines)
  client.write(table.concat(lines))
  os.exit(0)
end

client.run(function()
  local _, words = client.arguments()
  if ASK[words[1]] and #words == 3 then return answer(table.unpack(words)) end
  local script = SHELLS[words[1]]
  if not script then
    client.refuse(("INVALID: no completion for '%s'; there is one for bash, zsh and fish"):format(words[1]))
  end
  client.write(script)
end)
