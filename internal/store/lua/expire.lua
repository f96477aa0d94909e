-- expire  KEYS[1] record ; ARGV: staleMs, channel, message
-- 1 value kept for stale serving, lease killed | 0 no value (a lease is removed)
-- 2 write intent marked conflicting | -2 foreign record
local h=head(KEYS)
if h.kind=='X' then touch(KEYS,h) return -2 end
if h.kind=='D' then touch(KEYS,h) return 0 end
local r=0
if h.kind=='V' then
  if h.fresh==0 or h.fresh>now then h.fresh=now end -- what is stale already stays as stale as it is
  redis.call('SETRANGE',KEYS[1],3,Z13..ts(h.fresh)..D16)
  local p=redis.call('PTTL',KEYS[1])
  if p<0 or p>tonumber(ARGV[1]) then redis.call('PEXPIRE',KEYS[1],ARGV[1]) end
  r=1
elseif h.kind=='W' then redis.call('SETRANGE',KEYS[1],61,'1') r=2
else redis.call('DEL',KEYS[1]) end
return publish(r,ARGV[2],ARGV[3])
