"""What Redis itself does in one step, where several keys must agree: the scripts. Python must not do it in two.

Each is given the five keys of one shard (`Shard.names`) and entries of that shard, and as its first argument the
prefix of entries' names. An entry's presence decides: Redis removes entries by itself, when they expire and when it is
full, and tells nobody; so every script that comes across an entry without its place in the index, or the reverse,
mends that.

Columns that cannot be read, since a bit of them was turned, are as none, and their entry goes: one of them must not
stop a script that is about many.

Redis checks its memory before a script's first write only, so a script that makes room writes what makes room first.
"""

from __future__ import annotations

import hashlib


class Script:
    """One script and the name by which Redis knows it."""

    __slots__ = ("sha", "text")

    def __init__(self, text: str) -> None:
        self.text = _COMMON + text
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


_COMMON = """
local call = redis.call
local index, columns, expiry, totals, generation = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local prefix = ARGV[1]
local PROVIDER, MODEL, CREATED, SIZE = 2, 3, 8, 13

local function now()
  local t = call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function whole(number)
  return type(number) == 'number' and number >= 0 and number < 2^53 and number == math.floor(number)
end

local function read(c)
  local fine, row, more = pcall(cmsgpack.unpack, c)
  if fine and type(row) == 'table' and more == nil and type(row[PROVIDER]) == 'string' and type(row[MODEL]) == 'string'
    and type(row[CREATED]) == 'number' and row[CREATED] == row[CREATED] and whole(row[SIZE]) then return row end
end

local function tally(c, by)
  local row = read(c)
  if not row then return end
  -- Totals that were evicted begin anew with what comes now, and lack what came before: they are to be made anew.
  if call('EXISTS', totals) == 0 and call('HLEN', columns) > 1 then call('HSET', totals, 'x', 1) end
  -- The 0 makes a plain 0 of the -0 that Lua has of an empty value, and that Redis takes for no number.
  call('HINCRBY', totals, 's', string.format('%.0f', by * row[SIZE] + 0))
  for _, name in ipairs({'n', 'p' .. row[PROVIDER], 'm' .. row[MODEL]}) do
    if call('HINCRBY', totals, name, by) <= 0 then call('HDEL', totals, name) end
  end
  if call('HLEN', totals) == 1 then call('DEL', totals) end
end

local function forget(id)
  local c = call('HGET', columns, id)
  call('HDEL', columns, id)
  call('ZREM', index, id)
  call('ZREM', expiry, id)
  if c then tally(c, -1) end
end

local function enter(id, c, at)
  local before = call('HGET', columns, id)
  if before ~= c then
    call('HSET', columns, id, c)
    if before then tally(before, -1) end
    tally(c, 1)
  end
  call('ZADD', index, string.format('%.17g', -read(c)[CREATED]), id)
  if at then call('ZADD', expiry, string.format('%.0f', at), id) else call('ZREM', expiry, id) end
end

local function mend(id)
  local c = call('HGET', prefix .. id, 'c')
  if c and not read(c) then
    call('UNLINK', prefix .. id)
    c = false
  end
  if not c then
    forget(id)
    return 0
  end
  local left = call('PTTL', prefix .. id)
  enter(id, c, left >= 0 and now() + left)
  return 1
end

local function sweep(most)
  local due = call('ZRANGEBYSCORE', expiry, '-inf', string.format('%.0f', now()), 'LIMIT', 0, most)
  for _, id in ipairs(due) do mend(id) end
  return #due
end

local function moved(seed)
  if call('EXISTS', generation) == 0 then call('SET', generation, seed) end
  call('INCR', generation)
end
"""

PUT = Script("""
local id, seed, c, value, cost, ttl, random = unpack(ARGV, 2)
local entry = KEYS[6]
local existed = call('EXISTS', entry)
call('HSET', entry, 'c', c, 'v', value)
call('HDEL', entry, 'h', 'l')
if cost == '' then call('HDEL', entry, 'p') else call('HSET', entry, 'p', cost) end
local at = false
if ttl == '' then
  call('PERSIST', entry)
else
  at = now() + tonumber(ttl)
  call('PEXPIREAT', entry, string.format('%.0f', at))
end
enter(id, c, at)
if existed == 1 then moved(seed) end
-- Each new entry pays for looking whether some others are still there: so the index cannot outgrow the entries.
sweep(8)
local first = math.floor(tonumber(random) * math.max(0, call('ZCARD', index) - 7))
for _, other in ipairs(call('ZRANGE', index, first, first + 7)) do
  if call('EXISTS', prefix .. other) == 0 then forget(other) end
end
return existed
""")
"""Arguments: id, seed, columns, value, cost or empty, milliseconds to live or empty, a number below 1. Replaced?"""

REMOVE = Script("""
local removed = 0
for i = 3, #ARGV, 2 do
  local entry = KEYS[6 + (i - 3) / 2]
  local c = call('HGET', entry, 'c')
  if c == ARGV[i + 1] then
    call('UNLINK', entry)
    forget(ARGV[i])
    removed = removed + 1
  else
    mend(ARGV[i])
  end
end
if removed > 0 then moved(ARGV[2]) end
return removed
""")
"""Arguments: seed, then id and columns of each. How many were there, with these very columns."""

TOUCH = Script("""
for i = 2, #ARGV, 3 do
  local id, entry = ARGV[i], KEYS[6 + (i - 2) / 3]
  if call('EXISTS', entry) == 1 then
    local counted = redis.pcall('HINCRBY', entry, 'h', ARGV[i + 1])
    if type(counted) == 'table' then call('HSET', entry, 'h', ARGV[i + 1]) end
    local last = tonumber(call('HGET', entry, 'l') or '')
    if not last or last < tonumber(ARGV[i + 2]) then call('HSET', entry, 'l', ARGV[i + 2]) end
    if not call('ZSCORE', index, id) or call('HEXISTS', columns, id) == 0 then mend(id) end
  end
end
""")
"""Arguments: id, hits and time of each."""

PRICE = Script("""
for i = 2, #ARGV, 2 do
  local entry = KEYS[6 + (i - 2) / 2]
  local row = read(call('HGET', entry, 'c') or '')
  if row and row[CREATED] == tonumber(ARGV[i]) then call('HSET', entry, 'p', ARGV[i + 1]) end
end
""")
"""Arguments: created_at and cost of each."""

MEND = Script("""
local there = 0
for i = 2, #ARGV do there = there + mend(ARGV[i]) end
return there
""")
"""Arguments: ids. How many of them are there."""

SWEEP = Script("return sweep(tonumber(ARGV[2]))")
"""Takes what has expired out of the index. Argument: how many at most. How many there were."""

RECOUNT = Script("""
local described = call('HGETALL', columns)
for i = 1, #described, 2 do
  if not read(described[i + 1]) then
    call('HDEL', columns, described[i])
    mend(described[i])
  end
end
local sums = {n = 0, s = 0}
for _, c in ipairs(call('HVALS', columns)) do
  local row = read(c)
  sums.n, sums.s = sums.n + 1, sums.s + row[SIZE]
  for _, name in ipairs({'p' .. row[PROVIDER], 'm' .. row[MODEL]}) do sums[name] = (sums[name] or 0) + 1 end
end
call('DEL', totals)
for name, sum in pairs(sums) do
  if sum > 0 then call('HSET', totals, name, string.format('%.0f', sum)) end
end
""")
"""Makes the totals anew from the columns."""

PAGE = Script("""
local score, after = ARGV[2], ARGV[3]
local below = score == '-inf' and 0 or call('ZCOUNT', index, '-inf', '(' .. score)
local rank = below
if after ~= '' then
  local at = call('ZSCORE', index, after)
  if at and tonumber(at) == tonumber(score) then
    rank = call('ZRANK', index, after) + 1
  else
    -- It has gone meanwhile: find where it was, among those of the same instant.
    local first, last = below, below + call('ZCOUNT', index, score, score)
    while first < last do
      local middle = math.floor((first + last) / 2)
      if call('ZRANGE', index, middle, middle)[1] <= after then first = middle + 1 else last = middle end
    end
    rank = first
  end
end
local found = call('ZRANGE', index, rank, rank + tonumber(ARGV[4]) - 1, 'WITHSCORES')
local page = {}
for i = 1, #found, 2 do
  page[#page + 1] = found[i]
  page[#page + 1] = found[i + 1]
  page[#page + 1] = call('HGET', columns, found[i])
end
return page
""")
"""Reads only. Arguments: score and id to begin after (no id: at that score), how many. Of each: id, score, columns."""

TOTALS = Script("""
return {
  call('ZCOUNT', expiry, '-inf', string.format('%.0f', now())),
  call('ZCARD', index), call('HLEN', columns), call('HGETALL', totals)
}
""")
"""Reads only. How many have expired, the sizes of index and columns, and the totals."""


class Plain(Script):
    """A script of its own, for the keys of the store as a whole."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


_ONCE = """
local key, batch, number, hour_ms = KEYS[1], KEYS[2], tonumber(ARGV[1]), 3600000
if batch and tonumber(redis.call('GET', batch) or '0') >= number then return 1 end
"""
_DONE = """
if batch then redis.call('SET', batch, number, 'PX', hour_ms) end
return 1
"""
"""What is done under a number is not done again: the second key has the latest number of who adds."""

ADD = Plain(
    _ONCE
    + """
for i = 2, #ARGV, 2 do
  local now = redis.call('HGET', key, ARGV[i])
  if #ARGV[i + 1] > 18 or (now and #now > 18) then return 0 end
end
for i = 2, #ARGV, 2 do
  if redis.call('HINCRBY', key, ARGV[i], ARGV[i + 1]) == 0 then redis.call('HDEL', key, ARGV[i]) end
end
"""
    + _DONE
)
"""Adds to sums: a number, then name and amount of each. 0, and nothing is done, if any may not fit into 64 bits."""

_SWAP = """
for i = 2, #ARGV, 3 do
  if (redis.call('HGET', key, ARGV[i]) or '') ~= ARGV[i + 1] then return 0 end
end
for i = 2, #ARGV, 3 do
  if ARGV[i + 2] == '' then redis.call('HDEL', key, ARGV[i]) else redis.call('HSET', key, ARGV[i], ARGV[i + 2]) end
end
"""
SWAP_ONCE = Plain(_ONCE + _SWAP + _DONE)
"""Sets fields of a hash if all are what they are expected to be: a number, then name, old and new of each; empty is
none."""
SWAP = Plain("local key = KEYS[1]" + _SWAP + "redis.call('INCR', KEYS[2]) return 1")
"""The same without a number (0), and counts that in the second key."""

RENEW = Plain("""
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
""")
RELEASE = Plain("""
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
""")
"""Only by their holder, whose token is the first argument."""
