-- drop  KEYS: letters, letter, reasons ; ARGV: key, version
-- 1 dropped | 0 no such letter
local kind,_,_,_,_,ver=head(KEYS[2])
if not redis.call('ZSCORE',KEYS[1],ARGV[1]) or (kind=='D' and ver or Z16)~=ARGV[2] then return 0 end
redis.call('DEL',KEYS[2])
redis.call('HDEL',KEYS[3],ARGV[1])
return redis.call('ZREM',KEYS[1],ARGV[1])
