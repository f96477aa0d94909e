-- slide  KEYS[1] record ; ARGV: cid, px, softMs, latestMs ('0' = none; Redis time)
-- 1 moved | 0 another record, not fresh any more, or nothing left
local h=head(KEYS)
if h.kind~='V' or h.cid~=ARGV[1] or (h.fresh>0 and h.fresh<=now) then return 0 end
local px,cut=tonumber(ARGV[2]),0
if ARGV[4]~='0' then cut=math.max(px-(tonumber(ARGV[4])-now),0) end
if px-cut<1 then return 0 end
redis.call('SETRANGE',KEYS[1],16,fresh(ARGV[3]-cut))
return redis.call('PEXPIRE',KEYS[1],string.format('%.0f',px-cut))
