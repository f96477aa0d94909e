-- release (now)  KEYS[1] entry ; ARGV: token, backoffMs ('0' = none)
-- 1 released | 0 not ours
local k=KEYS[1]
local h=redis.pcall('GETRANGE',k,0,63)
if type(h)=='table' then h='??' end
if #h<64 or string.sub(h,17,32)~=ARGV[1] then return 0 end
local kind=string.sub(h,3,3)
local b=tonumber(ARGV[2])
if kind=='L' then
  if b>0 then redis.call('SET',k,'K1E'..ts(now+b)..D16..D16..Z16,'PX',b)
  else redis.call('DEL',k) end
  return 1
end
if kind=='V' or kind=='S' then
  redis.call('SETRANGE',k,3,(b>0 and ts(now+b) or Z13)..D16)
  return 1
end
return 0
