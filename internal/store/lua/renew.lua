-- renew  ARGV: token, leaseMs, retainMs
-- 1 renewed | 0 not ours
local function one(k,a)
  local kind,_,_,tok=head(k)
  if (kind~='L' and kind~='V') or tok~=ARGV[a+1] then return 0 end
  redis.call('SETRANGE',k,'3',ts(now+ARGV[a+2]))
  if kind=='L' then redis.call('PEXPIRE',k,ARGV[a+3]) end
  return 1
end
