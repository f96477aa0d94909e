-- invalidate (now, publish)  KEYS[1] entry ; ARGV: channel, message
-- 1 removed (a foreign string too) | 0 nothing there, or another type
-- 2 write intent kept (marked conflicting) | 3 dirty write-behind record kept
local k=KEYS[1]
local h=redis.pcall('GETRANGE',k,0,63)
if type(h)=='table' then h='' end
local r=0
if h~='' then
  if string.sub(h,1,3)=='K1W' and (tonumber(string.sub(h,4,16)) or 0)>now then
    redis.call('SETRANGE',k,48,'1') r=2
  elseif string.sub(h,1,3)=='K1D' then return 3
  else redis.call('DEL',k) r=1 end
end
publish(ARGV[1],ARGV[2])
return r
