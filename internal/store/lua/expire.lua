-- expire (publish)  KEYS[1] entry ; ARGV: staleMs, channel, message
-- 1 value kept for stale serving, lease killed | 0 no value (a lease is removed)
-- 2 write intent marked conflicting | -2 foreign record
local k=KEYS[1]
local h=redis.pcall('GETRANGE',k,0,63)
if type(h)=='table' then h='??' end
if h~='' and string.sub(h,1,2)~='K1' then return -2 end
local kind=string.sub(h,3,3)
if kind=='D' then return 0 end
local r=0
if #h==64 then
  if kind=='V' or kind=='S' then
    redis.call('SETRANGE',k,2,'S0000000000000----------------')
    local p=redis.call('PTTL',k)
    if p<0 or p>tonumber(ARGV[1]) then redis.call('PEXPIRE',k,ARGV[1]) end
    r=1
  elseif kind=='L' or kind=='E' then redis.call('DEL',k)
  elseif kind=='W' then redis.call('SETRANGE',k,48,'1') r=2 end
end
publish(ARGV[2],ARGV[3])
return r
