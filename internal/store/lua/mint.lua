-- mint (publish)  KEYS[1] token key
-- ARGV: 3 random characters, px ('0' = for ever), replace ('1') or only if missing ('0'), channel, message
-- the token that is valid now; a token that replaced another is published
if ARGV[3]=='0' then
  local v=redis.call('GET',KEYS[1])
  if v then
    if ARGV[2]~='0' then redis.call('PEXPIRE',KEYS[1],ARGV[2]) end
    return v
  end
end
local t=redis.call('TIME')
local v=string.format('%013x',t[1]*1000000+t[2])..ARGV[1]
if ARGV[2]=='0' then redis.call('SET',KEYS[1],v) else redis.call('SET',KEYS[1],v,'PX',ARGV[2]) end
if ARGV[3]=='1' then publish(ARGV[4],ARGV[5]) end
return v
