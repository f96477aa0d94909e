-- retry  KEYS: schedule, tries
-- ARGV: key, claim, ms until it is due, version ('' = this was no try that counts)
-- until when, which names the claim now | '' it is somebody else's
local key,till=ARGV[1],string.format('%.0f',now+ARGV[3]) -- as ZSCORE spells it
if redis.call('ZSCORE',KEYS[1],key)~=ARGV[2] then return '' end
redis.call('PERSIST',KEYS[1]) -- see claim
redis.call('ZADD',KEYS[1],'XX',till,key)
if ARGV[4]~='' then
  local was=redis.call('HGET',KEYS[2],key)
  local n=was and string.sub(was,1,16)==ARGV[4] and tonumber(string.sub(was,17)) or 0
  redis.call('HSET',KEYS[2],key,ARGV[4]..string.format('%.0f',n+1))
end
return till
