-- Renews seats, puts back those that are missing, and frees others.
--
-- KEYS: for each limit its two rows, as in the script that admits. ARGV: how long
-- leases last in ms, then for each limit how many leases are renewed, and of each
-- its age in µs, which is zero if it is ending, and its name; then how many are
-- gone, and their names.
local lasts = tonumber(ARGV[1])
local time = redis.call('TIME')
local expiry = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000) + lasts)
local at = 2
for i = 1, #KEYS, 2 do
  local row, ages = KEYS[i], KEYS[i + 1]
  local renewed = tonumber(ARGV[at])
  if renewed > 0 then
    local last = at + 2 * renewed
    local expiries, ending = {}, {}
    for j = at + 2, last, 2 do
      table.insert(expiries, expiry)
      table.insert(expiries, ARGV[j])
      if ARGV[j - 1] == '0' then
        table.insert(ending, 0)
        table.insert(ending, ARGV[j])
      end
    end
    redis.call('ZADD', row, unpack(expiries))
    -- An age never changes, but that it ends; its replica may not know as yet.
    redis.call('ZADD', ages, 'NX', unpack(ARGV, at + 1, last))
    if #ending > 0 then redis.call('ZADD', ages, unpack(ending)) end
    redis.call('PEXPIRE', row, lasts + 1000)
    redis.call('PEXPIRE', ages, lasts + 1000)
    at = last
  end
  at = at + 1
  local gone = tonumber(ARGV[at])
  if gone > 0 then
    redis.call('ZREM', row, unpack(ARGV, at + 1, at + gone))
    redis.call('ZREM', ages, unpack(ARGV, at + 1, at + gone))
    at = at + gone
  end
  at = at + 1
end
