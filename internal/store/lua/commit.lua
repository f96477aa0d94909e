-- commit (publish)  KEYS[1] entry
-- ARGV: token, px ('0' = remove), ver, body, absent ('1' skips the version floor), channel, message
-- 1 committed | 0 refused | 2 older than what is cached: read again instead of returning it
local k=KEYS[1]
local h=redis.pcall('GETRANGE',k,0,63)
if type(h)=='table' then h='??' end
if #h<64 or string.sub(h,1,2)~='K1' then return 0 end
local kind=string.sub(h,3,3)
if (kind~='L' and kind~='V' and kind~='S') or string.sub(h,17,32)~=ARGV[1] then return 0 end
if ARGV[2]=='0' then
  redis.call('DEL',k)
else
  if kind~='L' and ARGV[5]~='1' and string.sub(h,49,64)>ARGV[3] then
    redis.call('SETRANGE',k,3,'0000000000000----------------')
    return 2
  end
  redis.call('SET',k,'K1V0000000000000----------------'..ARGV[1]..ARGV[3]..ARGV[4],'PX',ARGV[2])
end
if kind~='L' then publish(ARGV[6],ARGV[7]) end -- over a lease there was nothing to hold in an L1
return 1
