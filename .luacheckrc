std = 'lua54'
max_line_length = 120
cache = false

-- Handlers take what callers send, methods take self: arguments may go unused.
unused_args = false

exclude_files = { 'build' }

-- It replaces what other scripts only use.
files['stdlib/perilune/simulated.lua'].globals = { 'mesh', 'pairs', 'os' }

files['spec'].std = 'lua54+busted'
-- A function for a simulated node has the `mesh` of that.
files['examples/spec'] = { std = 'lua54+busted', read_globals = { 'mesh' } }
