-- renew  KEYS[1] record
-- ARGV: token, leaseMs, retainMs
-- 1 renewed | 0 not ours
local h=head(KEYS)
if (h.kind~='L' and h.kind~='V') or h.tok~=ARGV[1] then return 0 end
redis.call('SETRANGE',KEYS[1],3,ts(now+ARGV[2]))
if h.kind=='L' then redis.call('PEXPIRE',KEYS[1],ARGV[3]) end
return 1
