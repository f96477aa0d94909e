-- put (sent once)  KEYS: record, dirty, tickets, clock, doomed
-- ARGV: key, body, maxDirty, channel, message
-- version as a string | -1 too many dirty keys | -2 foreign record, or a newer program's
local kind,till=head(KEYS[1])
if kind=='X' or kind=='N' then return -2 end
local cur=redis.call('HGET',KEYS[2],ARGV[1])
if not cur and redis.call('HLEN',KEYS[2])>=tonumber(ARGV[3]) then return -1 end
-- A hybrid clock: the time survives the loss of the counter, the key's own last
-- version a clock that went back after that.
local ver=math.max(t[1]*1000000+t[2],
  (tonumber(redis.call('GET',KEYS[4]) or '0') or 0)+1, (tonumber(cur or '0') or 0)+1)
local vs=string.format('%.0f',ver)
-- The mark remembers that a write intent was open: ack then removes the record.
local mark=(kind=='W' or kind=='D' and till>0) and '0000000000001' or Z13
redis.call('SET',KEYS[4],vs) -- first: without memory this one is refused and nothing is changed
redis.call('SET',KEYS[1],record('D',mark,Z13,D16,D16,string.format('%016x',ver))..ARGV[2])
redis.call('HSET',KEYS[2],ARGV[1],vs)
if not cur then
  redis.call('XADD',KEYS[3],'*','k',ARGV[1])
  redis.call('HDEL',KEYS[5],ARGV[1]) -- a key whose latest value is dead is not dirty
end
return publish(vs,ARGV[4],ARGV[5])
