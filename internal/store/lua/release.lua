-- release  KEYS[1] record ; ARGV: token, backoffMs ('0' = none)
-- 1 released | 0 not ours
local h=head(KEYS)
if (h.kind~='L' and h.kind~='V') or h.tok~=ARGV[1] then return 0 end
local backoff=tonumber(ARGV[2])
local till=backoff>0 and ts(now+backoff) or Z13
if h.kind=='V' then
  redis.call('SETRANGE',KEYS[1],3,till)
  redis.call('SETRANGE',KEYS[1],29,D16)
elseif backoff>0 then
  redis.call('SET',KEYS[1],record('E',till,Z13,D16,D16,Z16),'PX',backoff)
else
  redis.call('DEL',KEYS[1])
end
return 1
