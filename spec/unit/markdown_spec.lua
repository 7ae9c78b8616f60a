local markdown = require 'spec.support.markdown'

describe('markdown.samples', function()
  it('finds blocks with their marker, language and line', function()
    local samples = markdown.samples [[
# Title

<!-- run: with worker.lua
6
...
-->
```lua
print(6)
```
text
```console
$ true
```
]]
    assert.equal(2, #samples)
    assert.same({
      line = 7, language = 'lua', text = 'print(6)\n',
      kind = 'run', argument = 'with worker.lua', expected = { '6', '...' },
    }, samples[1])
    assert.same({ line = 11, language = 'console', text = '$ true\n', expected = {} }, samples[2])
  end)

  it('takes a marker for the block right after it only', function()
    local samples = markdown.samples '<!-- norun: reason -->\n\ntext\n\n```lua\n```\n'
    assert.is_nil(samples[1].kind)
  end)

  it('reads a marker of one line', function()
    local sample = markdown.samples('<!-- file: a.lua -->\n```lua\n```\n')[1]
    assert.same({ 'file', 'a.lua' }, { sample.kind, sample.argument })
  end)

  it('passes over other comments', function()
    assert.is_nil(markdown.samples('<!-- a note -->\n```lua\n```\n')[1].kind)
  end)

  it('refuses a block that does not end', function()
    assert.has_error(function() markdown.samples '```lua\n' end, 'a block or comment does not end')
  end)
end)

describe('markdown.commands', function()
  it('splits commands, output, background and exit code', function()
    assert.same({
      { command = 'serve', background = true, code = 0, output = { 'ready ...' } },
      { command = 'ask  # exit 1', background = false, code = 1, output = { 'a', 'b' } },
    }, markdown.commands '$ serve &\nready ...\n$ ask  # exit 1\na\nb\n')
  end)

  it('refuses output without a command', function()
    assert.has_error(function() markdown.commands 'x\n' end)
  end)
end)

describe('markdown.output_matches', function()
  for name, case in pairs {
    ['equal lines'] = { { 'a', 'b' }, 'a\nb\n', true },
    ['a last line without its end'] = { { 'a' }, 'a', true },
    ['no output'] = { {}, '', true },
    ['any text in a line'] = { { 'id=... ok' }, 'id=7f3 ok\n', true },
    ['any lines between'] = { { 'a', '...', 'd' }, 'a\nb\nc\nd\n', true },
    ['no lines for any lines'] = { { 'a', '...' }, 'a\n', true },
    ['an empty line that is shown'] = { { 'a', '', 'b' }, 'a\n\nb\n', true },
    ['characters of patterns as they are'] = { { '100% (a)' }, '100% (a)\n', true },
    ['a missing line'] = { { 'a', 'b' }, 'a\n', false },
    ['a line too many'] = { { 'a' }, 'a\nb\n', false },
    ['another text'] = { { 'a' }, 'b\n', false },
  } do
    it((case[3] and 'accepts ' or 'refuses ') .. name, function()
      assert.equal(case[3], markdown.output_matches(case[1], case[2]))
    end)
  end
end)
