-- wbegin (now)  KEYS[1] entry ; ARGV: token, intentMs
-- number of open intents | -1 dirty write-behind record | -2 foreign record
local k=KEYS[1]
local v=redis.pcall('GETRANGE',k,0,15)
if type(v)=='table' then v='??' end
if v~='' and string.sub(v,1,2)~='K1' then return -2 end
local set,conf,px='','0',tonumber(ARGV[2])
if string.sub(v,1,3)=='K1D' then return -1 end
if string.sub(v,1,3)=='K1W' and (tonumber(string.sub(v,4,16)) or 0)>now then
  set=redis.call('GETRANGE',k,64,-1)
  for i=1,#set,16 do
    if string.sub(set,i,i+15)==ARGV[1] then return #set/16 end
  end
  conf='1'
  px=math.max(px,(tonumber(string.sub(v,4,16)) or 0)-now)
end
set=set..ARGV[1]
redis.call('SET',k,'K1W'..ts(now+px)..D16..D16..conf..'000000000000000'..set,'PX',px)
return #set/16
