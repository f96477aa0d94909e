-- mint  KEYS[1] token key
-- ARGV: 3 random characters, px ('0' = for ever), replace ('1') or only if missing ('0'), channel, message
-- the token that is valid now; a token that replaced another is published
local px=tonumber(ARGV[2])
local left=redis.call('PTTL',KEYS[1]) -- -1 for ever, -2 none
local longer=px>0 and left~=-1 and left<px -- never shorter: entries of longer life have it, too
if ARGV[3]=='0' then
  local v=redis.call('GET',KEYS[1])
  if v then
    if longer then redis.call('PEXPIRE',KEYS[1],ARGV[2]) end
    return v
  end
end
local v=string.format('%013x',t[1]*1000000+t[2])..ARGV[1]
if longer then redis.call('SET',KEYS[1],v,'PX',ARGV[2])
elseif px>0 and left>0 then redis.call('SET',KEYS[1],v,'PX',left)
else redis.call('SET',KEYS[1],v) end
if ARGV[3]=='0' then return v end
return publish(v,ARGV[4],ARGV[5])
