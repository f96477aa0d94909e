-- mint  KEYS[1] token key ; ARGV: 3 random characters, px, replace ('1') or only if missing ('0')
-- the token that is valid now
if ARGV[3]=='0' then
  local v=redis.call('GET',KEYS[1])
  if v then redis.call('PEXPIRE',KEYS[1],ARGV[2]) return v end
end
local t=redis.call('TIME')
local v=string.format('%013x',t[1]*1000000+t[2])..ARGV[1]
redis.call('SET',KEYS[1],v,'PX',ARGV[2])
return v
