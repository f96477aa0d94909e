-- put (publish; sent once)  KEYS: record, dirty, tickets, clock, doomed
-- ARGV: key, body, maxDirty, channel, message
-- version as a string | -1 too many dirty keys | -2 foreign record
local Z13='0000000000000'
local h=redis.pcall('GETRANGE',KEYS[1],0,15)
if type(h)=='table' then h='??' end
if h~='' and string.sub(h,1,2)~='K1' then return -2 end
local cur=redis.call('HGET',KEYS[2],ARGV[1])
if not cur and redis.call('HLEN',KEYS[2])>=tonumber(ARGV[3]) then return -1 end
-- A hybrid clock: the time survives the loss of the counter, the key's own last
-- version a clock that went back after that.
local t=redis.call('TIME')
local ver=math.max(t[1]*1000000+t[2],
  (tonumber(redis.call('GET',KEYS[4]) or '0') or 0)+1, (tonumber(cur or '0') or 0)+1)
local vs=string.format('%.0f',ver)
-- until ~= 0 remembers that a write intent was open: ack then removes the record.
local mark=Z13
if string.sub(h,3,3)=='W' then mark='0000000000001'
elseif string.sub(h,3,3)=='D' and #h==16 then mark=string.sub(h,4,16) end
redis.call('SET',KEYS[4],vs) -- first: without memory this one is refused and nothing is changed
redis.call('SET',KEYS[1],'K1D'..mark..'--------------------------------'..string.format('%016x',ver)..ARGV[2])
redis.call('HSET',KEYS[2],ARGV[1],vs)
if not cur then
  redis.call('XADD',KEYS[3],'*','k',ARGV[1])
  redis.call('HDEL',KEYS[5],ARGV[1]) -- a key whose latest value is dead is not dirty
end
publish(ARGV[4],ARGV[5])
return vs
