--- Every sample of README and docs, executed; docs/contributing.md has the rules.

local lfs = require 'lfs'
local markdown = require 'spec.support.markdown'
local process = require 'spec.support.process'

local function read(path)
  local file <close> = assert(io.open(path, 'rb'))
  return file:read 'a'
end

local function pages()
  local found = { 'README.md' }
  local list <close> = assert(io.popen "find docs -name '*.md' | sort")
  for path in list:lines() do found[#found + 1] = path end
  return found
end

--- A folder with the files that samples of the page before this one make, and the examples.
local function make_folder(samples, up_to)
  local files = {}
  for i = 1, up_to - 1 do
    local sample = samples[i]
    if sample.kind == 'file' then files[sample.argument] = sample.text end
  end
  local folder = process.temp_dir(files)
  assert(lfs.link(process.root .. '/examples', folder .. '/examples', true))
  return folder
end

local BUILD = process.perilune:match '^(.*)/'
local MODULE = BUILD .. '/module/?.so;;'
local PATH = BUILD .. ':' .. os.getenv 'PATH'

--- Under a sanitizer the module for plain Lua needs an interpreter that has it, too.
local function path()
  local plain = BUILD .. '/perilune_plain'
  if not lfs.attributes(plain) then return PATH end
  local folder = process.temp_dir()
  assert(lfs.link(plain, folder .. '/lua5.4', true))
  return folder .. ':' .. PATH
end

local function options(folder)
  return { cwd = folder, env = { PATH = path(), LUA_CPATH_5_4 = MODULE } }
end

local function assert_output(shown, actual, what)
  if not markdown.output_matches(shown, actual) then
    error(('%s\n-- shown --\n%s\n-- output --\n%s'):format(what, table.concat(shown, '\n'), actual), 0)
  end
end

--- Starts it, and goes on when it has printed what the page shows.
local function run_background(command, folder)
  assert(command.output[1], 'nothing shown to wait for: ' .. command.command)
  local p = process.start({ 'sh', '-c', 'exec 2>&1; exec ' .. command.command }, options(folder))
  for _, line in ipairs(command.output) do
    if not line:match '^%s*%.%.%.%s*$' then p:wait_line(markdown.line_pattern(line)) end
  end
end

local function run_console(sample, folder)
  for _, command in ipairs(markdown.commands(sample.text)) do
    local into = command.command:match '^cd (%S+)$'
    if into then
      folder = folder .. '/' .. into
    elseif command.background then
      run_background(command, folder)
    else
      local p = process.run({ 'sh', '-c', 'exec 2>&1; ' .. command.command }, options(folder))
      assert_output(command.output, p.stdout, command.command)
      assert.equal(command.code, p.code, command.command)
    end
  end
end

--- Runs a script. One that keeps serving is stopped when it has printed what the page shows.
local function run_lua(sample, folder)
  for script in sample.argument:gmatch '%S+%.lua' do
    process.start({ process.perilune, 'run', script }, options(folder)):wait_line '^ready '
  end
  local text = sample.text
  if not text:find 'require%s*%(?%s*["\']perilune["\']' then
    text = "local mesh = require 'perilune' " .. text -- on the first line, so that lines stay
  end
  local file <close> = assert(io.open(folder .. '/sample.lua', 'wb'))
  file:write(text):flush()

  local p = process.start({ process.perilune, 'run', 'sample.lua' }, options(folder))
  p:wait_until(function() return p.reaped or ('\n' .. p.collected.stderr):find '\nready ' end)
  if not p:ended() then
    p:wait_until(function() return markdown.output_matches(sample.expected, p.collected.stdout) end)
    p:kill 'TERM'
  end
  local code = p:wait()
  assert_output(sample.expected, p:stdout(), p:stderr())
  assert.equal(0, code, p:stderr())
end

--- A file that no later sample of the page mentions was never executed.
local function assert_used(samples, index)
  for i = index + 1, #samples do
    local text = samples[i].text .. (samples[i].argument or '')
    if samples[i].kind ~= 'norun' and text:find(samples[index].argument, 1, true) then return end
  end
  error('no later sample uses the file ' .. samples[index].argument, 0)
end

local function run_sample(samples, index)
  local sample = samples[index]
  if sample.kind == 'file' then return assert_used(samples, index) end
  local folder = make_folder(samples, index)
  if sample.language == 'console' then return run_console(sample, folder) end
  if sample.language == 'lua' and sample.kind == 'run' then return run_lua(sample, folder) end
  error(('a block of `%s` without a marker: say how it is run, or why not'):format(sample.language), 0)
end

for _, page in ipairs(pages()) do
  describe(page, function()
    local samples = markdown.samples(read(page))
    for i, sample in ipairs(samples) do
      if sample.kind == 'norun' then
        it(('says why the sample at line %d is not run'):format(sample.line), function()
          assert.matches('%a', sample.argument)
        end)
      elseif sample.language ~= 'text' then -- pictures
        it(('has a sample at line %d that works'):format(sample.line), function() run_sample(samples, i) end)
      end
    end
  end)
end
