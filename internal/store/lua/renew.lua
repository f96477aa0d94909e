-- renew (now)  KEYS[1] entry ; ARGV: token, leaseMs, retainMs
-- 1 renewed | 0 not ours
local k=KEYS[1]
local h=redis.pcall('GETRANGE',k,0,63)
if type(h)=='table' then h='??' end
local kind=string.sub(h,3,3)
if #h<64 or string.sub(h,1,2)~='K1' or string.sub(h,17,32)~=ARGV[1]
  or (kind~='L' and kind~='V' and kind~='S') then return 0 end
redis.call('SETRANGE',k,3,ts(now+ARGV[2]))
if kind=='L' then redis.call('PEXPIRE',k,ARGV[3]) end
return 1
