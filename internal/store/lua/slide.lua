-- slide  ARGV: cid, px, softMs, latestMs ('0' = none; Redis time)
-- 1 moved | 0 another record, not fresh any more, or nothing left
local function one(k,a)
  local kind,_,till,_,cid=head(k)
  if kind~='V' or cid~=ARGV[a+1] or (till>0 and till<=now) then return 0 end
  local px,cut=tonumber(ARGV[a+2]),0
  if ARGV[a+4]~='0' then cut=math.max(px-(tonumber(ARGV[a+4])-now),0) end
  if px-cut<1 then return 0 end
  redis.call('SETRANGE',k,'16',fresh(ARGV[a+3]-cut))
  return redis.call('PEXPIRE',k,string.format('%.0f',px-cut))
end
