--- The arguments of bench/run.

local USAGE = [[
usage: bench/run [--quick] [--rounds N] [--seconds S] [--only WORKLOAD,…] [--cpu N]
                 [--json FILE] [--bin DIR]

  --quick    one round, half a second a workload
  --only     of unary_1 unary_64 unary_512 echo_1k echo_64k integers blocks_64k relay_1 relay_64
             relay_echo_64k chain_1 chain_64 star_64 loss_10 loss_100 flap_10 flap_100
             news_10 news_100 good_1 good_2 good_10 late_1 late_2 late_10
             good_bound late_bound good_burn late_burn beside beside_relay many
             items_up down up peak_client peak_near peak_far peak_server reload_rate reload_pause
             reload_text vm_start vm_memory generation governor workers_1 workers_2
             beside_loop beside_worker beside_idle memory start;
             loss_500 flap_500 news_500 loss_1000 flap_1000 take a minute each, and run only when they
             are named, in the first round
  --json     where to write the figures (bench/results.json)
  --bin      take the executables from DIR and build nothing
]]

--- What they say. Ends the process where they are wrong.
return function(args, root)
  local o = { rounds = 3, seconds = 2, cpu = 0, json = root .. '/bench/results.json' }
  local i = 1
  while i <= #args do
    local name = args[i]:match '^%-%-(%l+)$'
    if name == 'quick' then
      o.rounds, o.seconds, i = 1, 0.5, i + 1
    elseif name == 'rounds' or name == 'seconds' or name == 'cpu' then
      o[name], i = tonumber(args[i + 1]), i + 2
    elseif name == 'only' or name == 'json' or name == 'bin' then
      o[name], i = args[i + 1], i + 2
    else
      o.rounds = nil
      break
    end
  end
  local rounds_ok = o.rounds and o.rounds >= 1
  if rounds_ok and o.seconds and o.seconds > 0 and o.cpu and o.json then return o end
  io.stderr:write(USAGE)
  os.exit(2)
end
