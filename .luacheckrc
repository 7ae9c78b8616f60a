std = 'lua54'
max_line_length = 120
cache = false

-- Handlers take what callers send, methods take self: arguments may go unused.
unused_args = false

exclude_files = { 'build' }

files['spec'].std = 'lua54+busted'
