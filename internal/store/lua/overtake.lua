-- overtake  KEYS: record, dirty, schedule, letter ; ARGV: key
-- 1 the key is dirty | 0 it is not, and a letter of it will not be requeued: something newer follows
if redis.call('ZSCORE',KEYS[2],ARGV[1]) then return 1 end
if head(KEYS[1])=='D' then -- what names it was lost
  redis.call('ZADD',KEYS[2],ts(now),ARGV[1])
  redis.call('ZADD',KEYS[3],ts(now),ARGV[1])
  return 1
end
if head(KEYS[4])=='D' then redis.call('SETRANGE',KEYS[4],'3','0000000000002') end
return 0
