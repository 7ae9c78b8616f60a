local filework = require('perilune.testing').filework

local THREADS, QUEUE = filework.threads, filework.queue

describe('file work', function()
  it('runs on a bounded number of threads, queues what comes then, and refuses the rest', function()
    local work = filework.new()
    for _ = 1, THREADS do work:submit 'gate' end
    work:await(THREADS)
    for _ = 1, QUEUE do assert.not_equal('BUSY', work:submit 'pass') end
    assert.equal('BUSY', work:submit 'pass')
    assert.same({ THREADS + QUEUE, 0 }, { work:open(THREADS + QUEUE) })
  end)

  it('leaves threads to files while lookups hang', function()
    local work = filework.new()
    for _ = 1, THREADS do work:submit 'slow' end
    work:await(THREADS // 2)
    for _ = 1, 10 do work:submit 'pass' end
    work:deliver(10)
    assert.same({ THREADS + 10, 0 }, { work:open(THREADS + 10) })
  end)

  it('discards what is cancelled while it waits, while it runs, and when it is done', function()
    local work = filework.new()
    local jobs = {}
    for i = 1, THREADS do jobs[i] = work:submit 'gate' end
    work:await(THREADS)
    for i = THREADS + 1, THREADS + 10 do jobs[i] = work:submit 'pass' end
    for i = THREADS - 2, THREADS + 3 do work:cancel(jobs[i]) end -- three run, three wait
    assert.same({ THREADS + 4, 6 }, { work:open(THREADS + 10) })
  end)

  it('frees the place of a cancelled job in the queue', function()
    local work = filework.new()
    for _ = 1, THREADS do work:submit 'gate' end
    work:await(THREADS)
    local last
    for _ = 1, QUEUE do last = work:submit 'pass' end
    assert.equal('BUSY', work:submit 'pass')
    work:cancel(last)
    assert.not_equal('BUSY', work:submit 'pass')
    assert.same({ THREADS + QUEUE, 1 }, { work:open(THREADS + QUEUE + 1) })
  end)
end)
