-- requeue (sent once)  KEYS: record, dirty, schedule, letters, letter, reasons
-- ARGV: key, version, channel, message
-- 1 dirty again, with its old version | 0 no such letter | -1 something newer is there
-- -2 the letter has no value | -3 foreign record, or a newer program's
local key=ARGV[1]
local kind,mark,_,_,_,ver=head(KEYS[5])
if not redis.call('ZSCORE',KEYS[4],key) or (kind=='D' and ver or Z16)~=ARGV[2] then return 0 end
if kind~='D' then return -2 end
local there,till=head(KEYS[1])
if there=='X' or there=='N' then return -3 end
if mark==2 or there=='D' or there=='W' and till>now then return -1 end
redis.call('ZADD',KEYS[2],ts(now),key) -- first: without memory this one is refused
redis.call('ZADD',KEYS[3],ts(now),key)
redis.call('RENAME',KEYS[5],KEYS[1])
redis.call('ZREM',KEYS[4],key)
redis.call('HDEL',KEYS[6],key)
return publish(1,ARGV[3],ARGV[4])
