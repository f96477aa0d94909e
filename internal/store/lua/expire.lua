-- expire  ARGV: staleMs, channel, message
-- 1 value kept for stale serving, lease killed | 0 no value (a lease is removed)
-- 2 write intent marked conflicting | -2 foreign record
local function one(k,a)
  local kind,_,fresh=head(k)
  if kind=='X' then touch(k,kind) return -2 end
  if kind=='D' then touch(k,kind) return 0 end
  local r=0
  if kind=='V' then
    if fresh==0 or fresh>now then fresh=now end -- what is stale already stays as stale as it is
    redis.call('SETRANGE',k,'3',Z13..ts(fresh-1+fresh%2)..D16) -- odd: see head.lua
    local p=redis.call('PTTL',k)
    if p<0 or p>tonumber(ARGV[a+1]) then redis.call('PEXPIRE',k,ARGV[a+1]) end
    r=1
  elseif kind=='W' then redis.call('SETRANGE',k,'61','1') r=2
  else redis.call('DEL',k) end
  return publish(r,ARGV[a+2],ARGV[a+3])
end
