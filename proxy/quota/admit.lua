-- Seats a lease under every limit, or under none: Memory.admit, and Memory.Seat, for
-- all replicas.
--
-- KEYS: for each limit the row of leases by when they expire, in ms, and the row
-- of the same leases by age, in µs, of which zero is a lease that is ending.
-- ARGV: the lease, how long it lasts in ms, what to do where a limit is full
-- (reject; evict, the oldest gives way; overfill), until when in µs the answer is
-- waited for, and each limit's maximum.
--
-- Returns {0, index of the limit that is full}; {1, age, how many are under each
-- limit with it that are not ending, then for each lease that has to go: its name,
-- ms until it expires}; {2} if the lease had been seated before; or {3, the time in
-- µs} if nobody waits any more, as Redis stood still.
local me, lasts, full = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local age = time[1] * 1000000 + time[2]

local function number(n) return string.format('%.0f', n) end

if age > tonumber(ARGV[4]) then return {3, number(age)} end
if redis.call('ZSCORE', KEYS[1], me) then return {2} end

-- First all is decided, then all is done.
local before, left, kept = {}, {}, {}
for i = 1, #KEYS / 2 do
  local row, ages = KEYS[2 * i - 1], KEYS[2 * i]
  repeat
    local expired = redis.call('ZRANGEBYSCORE', row, '-inf', number(now), 'LIMIT', 0, 1000)
    if #expired > 0 then
      redis.call('ZREM', row, unpack(expired))
      redis.call('ZREM', ages, unpack(expired))
    end
  until #expired < 1000

  local n = redis.call('ZCARD', row)
  kept[i] = n - redis.call('ZCOUNT', ages, 0, 0) -- who has no age is not ending
  -- One goes for a newcomer, also where there are more than may be.
  local excess = n + 1 - math.max(tonumber(ARGV[4 + i]), kept[i])
  if full == 'overfill' then excess = 0 end
  if excess > 0 then
    for _, goes in ipairs(before) do
      -- Who has to go for another limit's sake goes here as well.
      if redis.call('ZSCORE', row, goes) then excess = excess - 1 end
    end
  end
  if excess > 0 then
    local oldest = redis.call('ZRANGE', ages, 0, excess + #before - 1, 'WITHSCORES')
    for j = 1, #oldest, 2 do
      local goes = oldest[j]
      if excess > 0 and not left[goes] then
        if tonumber(oldest[j + 1]) > 0 and full == 'reject' then return {0, i - 1} end
        left[goes] = number((redis.call('ZSCORE', row, goes) or now) - now)
        table.insert(before, goes)
        excess = excess - 1
      end
    end
    -- Only if Redis was short of memory and dropped ages: renewals bring them back.
    if excess > 0 then return {0, i - 1} end
  end
end

local replica = string.sub(me, 1, 16)
local reply = {1, number(age)}
for i = 1, #KEYS / 2 do
  -- Their replica says so later: the next one to come must not go for the same lease.
  for _, goes in ipairs(before) do
    kept[i] = kept[i] - redis.call('ZADD', KEYS[2 * i], 'XX', 'CH', 0, goes)
  end
  table.insert(reply, kept[i] + 1)
end
for _, goes in ipairs(before) do
  table.insert(reply, goes)
  table.insert(reply, left[goes])
  local other = string.sub(goes, 1, 16)
  if other ~= replica then
    redis.call('PUBLISH', 'wswarden:replica:' .. other, 'over ' .. goes .. ' ' .. replica)
  end
end
for i = 1, #KEYS do
  redis.call('ZADD', KEYS[i], i % 2 == 1 and number(now + lasts) or number(age), me)
  redis.call('PEXPIRE', KEYS[i], lasts + 1000)
end
return reply
