"""What the Redis queue does inside the server: each script is one atomic step, by the server's own clock."""

from typing import Final

KEYS: Final = ("lanes", "counts", "delayed", "dead", "wake")
"""The keys of a queue that every script gets, in this order; the streams of the lanes are named by the first."""

_PRELUDE: Final = """
local lanes, counts, delayed, dead, wake = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local function stream(lane) return lanes .. ':' .. lane end
local function count(field) return tonumber(redis.call('HGET', counts, field) or '0') end
local function parts(id) local a, b = string.match(id, '(%d+)-(%d+)'); return tonumber(a), tonumber(b) end
local function after(a, b)
    local a1, a2 = parts(a); local b1, b2 = parts(b)
    return a1 > b1 or (a1 == b1 and a2 > b2)
end
local function ring() redis.call('XADD', wake, 'MAXLEN', 1, '*', 'n', 1) end
local function state(lane)
    local s = redis.call('HMGET', lanes, 'epoch' .. lane, 'until' .. lane, 'through' .. lane, 'lost' .. lane,
        'held' .. lane)
    return s[1], tonumber(s[2] or '0'), s[3], tonumber(s[4] or '0'), tonumber(s[5] or '0')
end
"""

PUT: Final = (
    _PRELUDE
    + """
-- capacity, then lane, messages and bytes of each envelope
local total = 0
for i = 2, #ARGV, 3 do total = total + ARGV[i + 1] end
local waiting = count('waiting')
if waiting + total > tonumber(ARGV[1]) then return waiting end
for i = 2, #ARGV, 3 do redis.call('XADD', stream(ARGV[i]), '*', 'n', ARGV[i + 1], 'e', ARGV[i + 2]) end
redis.call('HINCRBY', counts, 'waiting', total)
ring()
return -1
"""
)

LEASE: Final = (
    _PRELUDE
    + """
-- number of lanes, messages, milliseconds, lanes at least
local limit = tonumber(ARGV[2])
for _, member in ipairs(redis.call('ZRANGEBYSCORE', delayed, '-inf', now, 'LIMIT', 0, limit)) do
    local lane, _, data = string.match(member, '^(%d+) (%S+) (.*)$')
    redis.call('XADD', stream(lane), '*', 'n', 1, 'e', data)
    redis.call('ZREM', delayed, member)
    redis.call('HINCRBY', counts, 'waiting', 1)
end
local free, heads = 0, {}
for lane = 0, ARGV[1] - 1 do
    local _, leased = state(lane)
    if leased <= now then
        free = free + 1
        local head = redis.call('XRANGE', stream(lane), '-', '+', 'COUNT', 1)[1]
        if head then heads[#heads + 1] = {head[1], lane} end
    end
end
local rung = redis.call('XREVRANGE', wake, '+', '-', 'COUNT', 1)[1]
rung = rung and rung[1] or '0-0'
if #heads == 0 then return {0, rung} end
table.sort(heads, function(a, b) return after(b[1], a[1]) end)
local epoch = redis.call('HINCRBY', counts, 'epoch', 1)
local answer = {epoch, rung}
local taken, most = 0, math.max(tonumber(ARGV[4]), math.floor(free / 2))
for i = 1, math.min(#heads, most) do
    if taken >= limit then break end
    local lane = heads[i][2]
    local _, leased, through, lost = state(lane)
    lost = leased > 0 and lost + 1 or 0
    local held, last = 0, nil
    for _, entry in ipairs(redis.call('XRANGE', stream(lane), '-', '+', 'COUNT', limit - taken)) do
        if taken >= limit then break end
        local attempts = (lost > 0 and not after(entry[1], through)) and lost + 1 or 1
        local messages, data = 1, ''
        for f = 1, #entry[2], 2 do
            if entry[2][f] == 'n' then messages = tonumber(entry[2][f + 1]) or 1 end
            if entry[2][f] == 'e' then data = entry[2][f + 1] end
        end
        answer[#answer + 1] = {lane, entry[1], attempts, data}
        held, taken, last = held + messages, taken + messages, entry[1]
    end
    redis.call('HSET', lanes, 'epoch' .. lane, epoch, 'until' .. lane, now + ARGV[3], 'through' .. lane, last,
        'lost' .. lane, lost, 'held' .. lane, held)
end
return answer
"""
)

RENEW: Final = (
    _PRELUDE
    + """
-- epoch, milliseconds, lanes
for i = 3, #ARGV do
    if redis.call('HGET', lanes, 'epoch' .. ARGV[i]) ~= ARGV[1] then return 0 end
end
for i = 3, #ARGV do redis.call('HSET', lanes, 'until' .. ARGV[i], now + ARGV[2]) end
return 1
"""
)

SETTLE: Final = (
    _PRELUDE
    + """
-- epoch, number of lanes, lanes; milliseconds, number of the delayed, lane, id and bytes of each; bytes of the dead
local epoch, n = ARGV[1], tonumber(ARGV[2])
for i = 3, n + 2 do
    if redis.call('HGET', lanes, 'epoch' .. ARGV[i]) ~= epoch then return 0 end
end
for i = 3, n + 2 do
    local lane = ARGV[i]
    local _, _, through, _, held = state(lane)
    local a, b = parts(through)
    redis.call('XTRIM', stream(lane), 'MINID', string.format('%.0f-%.0f', a, b + 1))
    redis.call('HSET', counts, 'waiting', math.max(0, count('waiting') - held))
    redis.call('HDEL', lanes, 'epoch' .. lane, 'until' .. lane, 'through' .. lane, 'lost' .. lane, 'held' .. lane)
end
local due, last = now + ARGV[n + 3], n + 4 + 3 * ARGV[n + 4]
for i = n + 5, last, 3 do
    redis.call('ZADD', delayed, due, ARGV[i] .. ' ' .. ARGV[i + 1] .. ' ' .. ARGV[i + 2])
end
for i = last + 1, #ARGV do redis.call('XADD', dead, '*', 'e', ARGV[i]) end
ring()
return 1
"""
)

DEPTH: Final = (
    _PRELUDE
    + """
-- number of lanes
local held, oldest = 0, now
for lane = 0, ARGV[1] - 1 do
    local _, leased, _, _, own = state(lane)
    if leased > now then held = held + own end
    local head = redis.call('XRANGE', stream(lane), '-', '+', 'COUNT', 1)[1]
    if head then oldest = math.min(oldest, (parts(head[1]))) end
end
return {count('waiting') - held, held, redis.call('ZCARD', delayed), redis.call('XLEN', dead), now - oldest}
"""
)
