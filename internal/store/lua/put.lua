-- put (sent once)  KEYS: record, dirty, schedule, clock, letters, letter, reasons
-- ARGV: key, body, maxDirty, channel, message
-- version in hex | -1 no room | -2 foreign record, or a newer program's | -3 write-behind is retired
local kind,till,_,_,_,own=head(KEYS[1])
if kind=='X' or kind=='N' then return -2 end
local last=tonumber(redis.call('GET',KEYS[4]) or '0')
if not last then return -3 end
local key=ARGV[1]
if redis.call('ZCARD',KEYS[2])+redis.call('ZCARD',KEYS[5])>=tonumber(ARGV[3])
  and not redis.call('ZSCORE',KEYS[2],key) and not redis.call('ZSCORE',KEYS[5],key) then return -1 end
-- A hybrid clock: the time survives the loss of the counter, the key's own last version a clock that
-- went back after that.
local ver=math.max(t[1]*1000000+t[2],
  last+1, (kind=='D' and tonumber(own,16) or 0)+1)
local vs=string.format('%016x',ver)
-- The mark remembers that a write intent was open: ack then removes the record.
local mark=(kind=='W' or kind=='D' and till>0) and '0000000000001' or Z13
redis.call('SET',KEYS[4],string.format('%.0f',ver)) -- first: without memory this one is refused and nothing is changed
redis.call('SET',KEYS[1],record('D',mark,Z13,D16,D16,vs)..ARGV[2])
redis.call('ZADD',KEYS[2],'NX',ts(now),key)
redis.call('ZADD',KEYS[3],'NX',ts(now),key) -- NX: a claim keeps its time
if redis.call('ZREM',KEYS[5],key)==1 then
  redis.call('DEL',KEYS[6])
  redis.call('HDEL',KEYS[7],key)
end
return publish(vs,ARGV[4],ARGV[5])
