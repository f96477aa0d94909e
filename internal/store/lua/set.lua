-- set (now, publish; sent once)  KEYS[1] entry ; ARGV: ver, px, cid, body, channel, message
-- 'S' set | 'O' older than the record | 'W' intent present: marked conflicting, not stored
-- 'D' dirty write-behind record | 'X' foreign record
local k=KEYS[1]
local h=redis.pcall('GETRANGE',k,0,63)
if type(h)=='table' then h='??' end
if h~='' and string.sub(h,1,2)~='K1' then return 'X' end
local kind=string.sub(h,3,3)
if kind=='D' then return 'D' end
if kind=='W' and (tonumber(string.sub(h,4,16)) or 0)>now then
  redis.call('SETRANGE',k,48,'1')
  publish(ARGV[5],ARGV[6])
  return 'W'
end
if (kind=='V' or kind=='S') and ARGV[1]~=Z16 and string.sub(h,49,64)>ARGV[1] then return 'O' end
redis.call('SET',k,'K1V0000000000000----------------'..ARGV[3]..ARGV[1]..ARGV[4],'PX',ARGV[2])
publish(ARGV[5],ARGV[6])
return 'S'
