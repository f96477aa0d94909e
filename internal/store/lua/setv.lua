-- setv (publish)  KEYS[1] entry ; ARGV: ver, px, cid, body, channel, message
-- 'S' set | 'O' older than the record, or the same set again | 'M' missing: not populated
-- 'D' lease, softly invalidated, unversioned or equally versioned record of another load killed
-- 'W' intent present: marked conflicting | 'X' dirty write-behind or foreign record
local k=KEYS[1]
local h=redis.pcall('GETRANGE',k,0,63)
if type(h)=='table' then h='??' end
if h~='' and string.sub(h,1,2)~='K1' then return 'X' end
local kind=string.sub(h,3,3)
if kind=='D' then return 'X' end
local v=string.sub(h,49,64)
local r
if h=='' then r='M'
elseif #h<64 or kind=='L' or kind=='E' then redis.call('DEL',k) r='D'
elseif kind=='W' then redis.call('SETRANGE',k,48,'1') r='W'
elseif kind=='S' or v=='0000000000000000' then redis.call('DEL',k) r='D'
elseif v==ARGV[1] then
  if string.sub(h,33,48)==ARGV[3] then return 'O' end
  redis.call('DEL',k) r='D'
elseif v>ARGV[1] then return 'O'
else
  redis.call('SET',k,'K1V0000000000000----------------'..ARGV[3]..ARGV[1]..ARGV[4],'PX',ARGV[2])
  r='S'
end
publish(ARGV[5],ARGV[6])
return r
