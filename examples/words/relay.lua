--- A node that provides nothing itself: calls of others go through it.

local mesh = require 'perilune'

mesh.node { relay = true }
