-- dead  KEYS: record, dirty, schedule, tries, letters, letter, reasons
-- ARGV: key, claim, version ('' = there is no value), reason, channel, message
-- 1 it is a letter | 2 another value is there, and due | 0 the claim is somebody else's
local key=ARGV[1]
if redis.call('ZSCORE',KEYS[3],key)~=ARGV[2] then return 0 end
local kind,_,_,_,_,has=head(KEYS[1])
if kind=='D' and has~=ARGV[3] then
  redis.call('ZADD',KEYS[3],'XX',ts(now),key)
  return 2
end
redis.call('ZADD',KEYS[5],ts(now),key) -- first: without memory this one is refused
redis.call('HSET',KEYS[7],key,ARGV[4])
if kind=='D' then redis.call('RENAME',KEYS[1],KEYS[6]) end
redis.call('ZREM',KEYS[2],key)
redis.call('ZREM',KEYS[3],key)
redis.call('HDEL',KEYS[4],key)
return publish(1,ARGV[5],ARGV[6])
