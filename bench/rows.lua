--- What bench/run measures, and what it should come to.
---
--- The goal bounds the product's figure over that of the baseline `of`, or without one the
--- figure itself. `path` and `work` are what the name says if they are missing.

local LUA = 'prototype'

return {
  { name = 'unary_1', title = 'unary, 1 in flight, p50', unit = 'us', of = 'bare', most = 1.5 },
  { name = 'unary_64', title = 'unary, 64 in flight', unit = '/s', of = LUA, least = 0.7 },
  { name = 'unary_512', title = 'unary, 512 in flight', unit = '/s', of = LUA, least = 0.7 },
  { name = 'echo_1k', title = 'echo 1 KiB, 64 in flight', unit = '/s', of = LUA, least = 0.7 },
  { name = 'echo_64k', title = 'echo 64 KiB, 64 in flight', unit = 'GB/s', of = LUA, least = 0.8 },
  { name = 'integers', title = 'stream of integers', unit = '/s', of = LUA, least = 0.5 },
  { name = 'blocks_64k', title = 'stream of 64 KiB blocks', unit = 'GB/s', of = LUA, least = 0.9 },
  { name = 'relay_1', path = 'relay', work = 'unary_1', title = 'one relay, 1 in flight, p50', unit = 'us', of = 'bare',
    most = 1.5 },
  { name = 'relay_64', path = 'relay', work = 'unary_64', title = 'one relay, 64 in flight', unit = '/s', of = LUA,
    least = 0.6 },
  { name = 'relay_echo_64k', path = 'relay', work = 'echo_64k', title = 'one relay, echo 64 KiB', unit = 'GB/s',
    of = LUA, least = 0.6 },
  { name = 'chain_1', path = 'chain', work = 'unary_1', title = 'chain of ten, 1 in flight', unit = 'us', of = 'bare',
    most = 1.5 },
  { name = 'chain_64', path = 'chain', work = 'unary_64', title = 'chain of ten, 64 in flight', unit = '/s', of = LUA,
    least = 0.6 },
  { name = 'star_64', path = 'star', work = 'unary_64', title = 'star of eight, 64 in flight', unit = '/s', of = LUA,
    least = 0.6 },
  -- A simulated mesh of which links are lost and come back, at random: perilune sim --flaps.
  { name = 'loss_10', nodes = 10, title = '10 nodes, a link is lost', unit = 's', most = 2 },
  { name = 'flap_10', nodes = 10, title = '10 nodes, CPU a flap', unit = 'ms', most = 5 },
  { name = 'loss_100', nodes = 100, title = '100 nodes, a link is lost', unit = 's', most = 2 },
  { name = 'flap_100', nodes = 100, title = '100 nodes, CPU a flap', unit = 'ms', most = 5 },
  { name = 'loss_500', nodes = 500, rare = true, title = '500 nodes, a link is lost', unit = 's', most = 2 },
  { name = 'flap_500', nodes = 500, rare = true, title = '500 nodes, CPU a flap', unit = 'ms', most = 5 },
  { name = 'loss_1000', nodes = 1000, rare = true, title = '1000 nodes, a link is lost', unit = 's', most = 2 },
  { name = 'flap_1000', nodes = 1000, rare = true, title = '1000 nodes, CPU a flap', unit = 'ms', most = 5 },
  -- A busy one: bytes about loads, and whatever else changes.
  { name = 'news_10', nodes = 10, title = '10 busy nodes, news of a node', unit = 'KB/min', most = 400 },
  { name = 'news_100', nodes = 100, title = '100 busy nodes, news of a node', unit = 'KB/min', most = 400 },
  { name = 'news_500', nodes = 500, rare = true, title = '500 busy nodes, news of one', unit = 'KB/min', most = 400 },
  -- A node that is offered so many times the calls that it has slots for: bench/overload.lua.
  { name = 'good_1', load = 1, title = '1 x capacity, good answers', unit = '%', least = 80 },
  { name = 'good_2', load = 2, title = '2 x capacity, good answers', unit = '%', least = 80 },
  { name = 'good_10', load = 10, title = '10 x capacity, good answers', unit = '%', least = 80 },
  { name = 'late_1', load = 1, title = '1 x capacity, p99', unit = 'ms', most = 40 },
  { name = 'late_2', load = 2, title = '2 x capacity, p99', unit = 'x 1', most = 2 },
  { name = 'late_10', load = 10, title = '10 x capacity, p99', unit = 'x 1', most = 2 },
  { name = 'good_bound', load = 10, title = '10 x, computing in slots', unit = '%', least = 80 },
  { name = 'late_bound', load = 10, title = '10 x, computing in slots', unit = 'x 1', most = 2 },
  { name = 'good_burn', load = 10, title = '10 x, computing unbounded', unit = '%', least = 80 },
  { name = 'late_burn', load = 10, title = '10 x, computing unbounded', unit = 'x 1', most = 2 },
  -- Of bench/bulk.lua. The first is the p99 of calls beside a stream over what it may be: 2 x that without, and 1 ms.
  { name = 'beside', bulk = true, title = 'calls beside a bulk stream', unit = 'x', most = 1 },
  { name = 'beside_relay', bulk = true, title = 'the same over a relay, p99', unit = 'us', of = 'bare', most = 3 },
  { name = 'many', bulk = true, title = '1000 streams at once', unit = '/s', least = 2e5 },
  { name = 'items_up', bulk = true, title = 'small chunks up over down', unit = 'x', most = 1.25 },
  { name = 'down', bulk = true, title = '100 MB down three links', unit = 'GB/s', least = 0.2 },
  { name = 'up', bulk = true, title = '100 MB up three links', unit = 'GB/s', least = 0.2 },
  { name = 'peak_client', bulk = true, title = 'the same, peak of the client', unit = 'MiB', most = 4 },
  { name = 'peak_near', bulk = true, title = 'the same, of the near relay', unit = 'MiB', most = 4 },
  { name = 'peak_far', bulk = true, title = 'the same, of the far relay', unit = 'MiB', most = 4 },
  { name = 'peak_server', bulk = true, title = 'the same, of the server', unit = 'MiB', most = 4 },
  -- Of a script that is loaded anew, bench/reload.lua; and of Lua that computes, against plain Lua, bench/pure.lua.
  { name = 'reload_rate', reload = true, title = '10 reloads/s, calls left', unit = '%', least = 90 },
  { name = 'reload_pause', reload = true, title = 'reload of 16 MiB, pause', unit = 'ms', most = 10 },
  { name = 'reload_text', reload = true, title = 'of 1 MiB of text, pause', unit = 'ms', most = 10 },
  { name = 'vm_start', reload = true, title = 'start of a VM', unit = 'ms', most = 5 },
  { name = 'vm_memory', reload = true, title = 'memory of a VM', unit = 'KiB', most = 512 },
  { name = 'generation', reload = true, title = 'a living generation', unit = 'KiB', most = 1024 },
  { name = 'governor', pure = true, title = 'governor, over plain Lua', unit = 'x', most = 1.02 },
  { name = 'memory', title = 'idle memory (RSS)', unit = 'MiB', most = 6 },
  { name = 'start', title = 'start to ready', unit = 'ms', most = 20 },
}
