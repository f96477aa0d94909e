-- reticket  KEYS: dirty, tickets ; ARGV: key, ver, id of a ticket that nobody will get ('' = none)
-- 1 has a new ticket | 0 not needed
local cur=redis.call('HGET',KEYS[1],ARGV[1])
if ARGV[3]~='' then
  if redis.call('XDEL',KEYS[2],ARGV[3])==0 or not cur then return 0 end
elseif cur~=ARGV[2] then return 0 end
redis.call('XADD',KEYS[2],'*','k',ARGV[1])
return 1
