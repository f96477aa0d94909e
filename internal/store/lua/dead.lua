-- dead (publish)  KEYS: dirty, tickets, record, dead, doomed
-- ARGV: group, id, key, ver, why, channel, message
-- 1 moved to the dead letters | 2 newer value: another ticket
-- 3 the key is not dirty: nothing to move | 0 somebody settled the ticket before
if redis.call('XACK',KEYS[2],ARGV[1],ARGV[2])==0 then return 0 end
redis.call('XDEL',KEYS[2],ARGV[2])
local cur=redis.call('HGET',KEYS[1],ARGV[3])
if not cur then return 3 end
if cur~=ARGV[4] then redis.call('XADD',KEYS[2],'*','k',ARGV[3]) return 2 end
local rec=redis.pcall('GET',KEYS[3])
if type(rec)~='string' or string.sub(rec,1,3)~='K1D'
  or string.sub(rec,49,64)~=string.format('%016x',tonumber(ARGV[4])) then rec='' end -- lost
redis.call('XADD',KEYS[4],'*','k',ARGV[3],'ver',ARGV[4],'rec',rec,'why',ARGV[5])
redis.call('HDEL',KEYS[1],ARGV[3])
redis.call('HSET',KEYS[5],ARGV[3],ARGV[4])
if rec~='' then redis.call('DEL',KEYS[3]) end
publish(ARGV[6],ARGV[7])
return 1
