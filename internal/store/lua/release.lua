-- release  ARGV: token, backoffMs ('0' = none)
-- 1 released | 0 not ours
local function one(k,a)
  local kind,_,_,tok=head(k)
  if (kind~='L' and kind~='V') or tok~=ARGV[a+1] then return 0 end
  local rest=ARGV[a+2]
  local till=rest~='0' and ts(now+rest) or Z13
  if kind=='V' then
    redis.call('SETRANGE',k,'3',till)
    redis.call('SETRANGE',k,'29',D16)
  elseif rest~='0' then
    redis.call('SET',k,record('E',till,Z13,D16,D16,Z16),'PX',rest)
  else
    redis.call('DEL',k)
  end
  return 1
end
