--- What perilune.test has: see perilune.api.

return {
  name = 'perilune.test',
  text = 'What specs of scripts need: meshes in virtual time, stand-ins for actions, folders, waiting.',
  functions = {
    {
      name = 'eventually',
      text = 'Calls `fn` until it returns something true, and returns that. What it raised last, or that '
        .. 'nothing came true, is raised after `timeout` seconds (2). Between two looks other tasks run '
        .. 'for `interval` seconds (0.01).',
      params = {
        { 'fn', 'fun(): any' },
        { 'options', '{ timeout: number?, interval: number? }?' },
      },
      returns = { { 'any' } },
    },
    {
      name = 'temp_dir',
      text = "Makes a folder of its own, with files in it: `local dir <close> = test.temp_dir { ['a.txt'] "
        .. "= 'text' }` removes it again at the end.",
      params = {
        { 'files', 'table<string, string>?' },
      },
      returns = { { 'perilune.test.TempDir' } },
    },
    {
      name = 'script',
      text = 'The text of a script, for a node of `test.mesh`.',
      params = {
        { 'path', 'string' },
      },
      returns = { { 'string' } },
    },
    {
      name = 'mesh',
      text = 'A mesh in this process, in virtual time, as mesh.sim makes it. It ends with the test at the '
        .. 'latest, and raises then when a node has more tasks, calls or streams open than at its '
        .. 'beginning, unless `leaks` is true.',
      params = {
        { 'options', 'perilune.test.MeshOptions?' },
      },
      returns = { { 'perilune.sim.Net' } },
      example = [[
local test = require 'perilune.test'
local net <close> = test.mesh { nodes = 2, script = function()
  mesh.action('add', function(a, b) return a + b end)
end }
print(net.n1:call('add', 1, 2))
]],
      prints = '3',
    },
    {
      name = 'fake',
      text = 'Provides an action that answers with the results of a function, or with values, and keeps '
        .. 'its calls: what the script under test calls elsewhere. It goes with the test, or `setup` or '
        .. 'the file, that made it.',
      params = {
        { 'name', 'string' },
        { '...', 'any', 'A function, or the values.' },
      },
      returns = { { 'perilune.test.Fake' } },
    },
  },
  classes = {
    {
      name = 'perilune.test.MeshOptions',
      fields = {
        { 'seed', 'integer?' },
        { 'nodes', 'integer|table|nil', 'As for `mesh.sim`, like all but the last.' },
        { 'script', 'function|string|nil' },
        { 'topology', 'string?' },
        { 'options', 'perilune.NodeOptions?' },
        { 'leaks', 'boolean?', 'What is left open at the end is no error.' },
      },
    },
    {
      name = 'perilune.test.Fake',
      fields = { { 'name', 'string' } },
      methods = {
        {
          name = 'calls',
          text = 'The arguments of each call so far, oldest first; a nil among them is mesh.null.',
          returns = { { 'any[][]' } },
        },
      },
    },
    {
      name = 'perilune.test.TempDir',
      fields = {
        { 'path', 'string' },
      },
      methods = {
        {
          name = 'remove',
          text = 'Removes the folder with all that is in it.',
        },
      },
    },
  },
}
