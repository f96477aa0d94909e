-- mint (k is a token's key)
-- ARGV: 3 random characters, px ('0' = for ever), replace ('1') or only if missing ('0'), channel, message
-- the token that is valid now; a token that replaced another is published
local function one(k,a)
  local px=tonumber(ARGV[a+2])
  local left=redis.call('PTTL',k) -- -1 for ever, -2 none
  local longer=px>0 and left~=-1 and left<px -- never shorter: entries of longer life have it, too
  if ARGV[a+3]=='0' then
    local v=redis.call('GET',k)
    if v then
      if longer then redis.call('PEXPIRE',k,ARGV[a+2]) end
      return v
    end
  end
  local us,old=t[1]*1000000+t[2],redis.pcall('GET',k)
  local last=type(old)=='string' and #old==16 and tonumber(string.sub(old,1,13),16) or 0
  if us<=last and last<2^52-1 then us=last+1 end -- the clock went back: who compares tokens takes the higher for the newer
  local v=string.format('%013x',us)..ARGV[a+1]
  if longer then redis.call('SET',k,v,'PX',ARGV[a+2])
  elseif px>0 and left>0 then redis.call('SET',k,v,'PX',left)
  else redis.call('SET',k,v) end
  if ARGV[a+3]=='0' then return v end
  return publish(v,ARGV[a+4],ARGV[a+5])
end
