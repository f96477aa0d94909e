-- slide (now)  KEYS[1] entry ; ARGV: cid, px, latestMs ('0' = none; Redis time)
-- 1 moved | 0 another record, or nothing left
local h=redis.pcall('GETRANGE',KEYS[1],0,63)
if type(h)=='table' then return 0 end
if string.sub(h,1,3)~='K1V' or string.sub(h,33,48)~=ARGV[1] then return 0 end
local px=tonumber(ARGV[2])
if ARGV[3]~='0' then px=math.min(px,tonumber(ARGV[3])-now) end
if px<1 then return 0 end
return redis.call('PEXPIRE',KEYS[1],string.format('%.0f',px))
