--- What perilune has for watching a node: see perilune.api.

return {
  functions = {
    {
      name = 'monitor',
      text = 'Calls `fn(event)` for what the node does from now on: its calls, links and reloads. `fn` runs in a '
        .. 'task of its own, when the script has loaded, with one event at a time, and may wait and call. What it is '
        .. 'too slow for is dropped and counted. Ends with its generation.',
      params = {
        { 'fn', 'fun(event: perilune.Event)' },
      },
      returns = { { 'perilune.Monitor' } },
      errors = { 'FORBIDDEN: the script is in a sandbox that does not allow `process`' },
      example = [[
mesh.action('greet', function() return 'hello' end)

mesh.monitor(function(event)
  print(event.event, event.action)
  if event.event == 'end' then os.exit(0) end
end)
mesh.spawn(mesh.call, 'greet')
]],
      prints = 'local\tgreet\nend\tgreet',
    },
  },
  aliases = {
    { 'perilune.EventName',
      "'outgoing'|'incoming'|'local'|'forwarded'|'queued'|'chunk'|'end'|'link_up'|'link_down'|'dial_failed'"
        .. "|'generation'|'dropped'",
    },
    { 'perilune.Side', "'outgoing'|'incoming'|'local'|'forwarded'" },
  },
  classes = {
    {
      name = 'perilune.Monitor',
      methods = {
        { name = 'close', text = 'Ends it: what waits is dropped, and the function is not called again.' },
      },
    },
    {
      name = 'perilune.Event',
      text = 'Times are seconds by the clock of the node, ids of nodes have 32 hexadecimal digits.',
      fields = {
        { 'event', 'perilune.EventName' },
        { 'at', 'number?', 'As `mesh.now()`; of all but `dropped`.' },
        { 'action', 'string?' },
        { 'call', 'string?', '16 hexadecimal digits, the same at all nodes of the call.' },
        { 'trace_id', 'string?', 'As in the context of the call.' },
        { 'caller', 'string?', 'Id of the node that calls.' },
        { 'peer', 'string?', 'Id of the neighbour to whom the call goes, or from whom it comes.' },
        { 'next', 'string?', 'Of `forwarded`: id of the neighbour to whom it goes on.' },
        { 'side', 'perilune.Side?', 'What the first event of the call was.' },
        { 'stream', 'boolean?', 'The call has chunks.' },
        { 'count', 'integer?', 'Of `chunk` and `dropped`: how many.' },
        { 'duration', 'number?', 'Of `end`.' },
        { 'queued', 'number?', 'Of `end`: how much of that was before it began.' },
        { 'cpu', 'number?', 'Of `end`: what the handler took.' },
        { 'chunks', 'integer?', 'Of `end`: in both directions.' },
        { 'code', 'string?', 'Of the error.' },
        { 'node', 'string?', 'Of a link: id of the neighbour.' },
        { 'name', 'string?', 'The same: its name.' },
        { 'address', 'string?', 'Of `dial_failed`.' },
        { 'script', 'string?', 'Of `generation`.' },
        { 'generation', 'integer?', 'The same: which one serves.' },
      },
    },
  },
}
