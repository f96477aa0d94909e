-- dead  KEYS: record, dirty, tickets, dead, doomed
-- ARGV: group, id, key, ver, why, channel, message
-- 1 moved to the dead letters | 2 newer value: another ticket
-- 3 the key is not dirty: nothing to move | 0 somebody settled the ticket before
if redis.call('XACK',KEYS[3],ARGV[1],ARGV[2])==0 then return 0 end
redis.call('XDEL',KEYS[3],ARGV[2])
local cur=redis.call('HGET',KEYS[2],ARGV[3])
if not cur then return 3 end
if cur~=ARGV[4] then redis.call('XADD',KEYS[3],'*','k',ARGV[3]) return 2 end
local kind,_,_,_,_,version=head(KEYS[1])
local rec='' -- it is lost
if kind=='D' and version==string.format('%016x',tonumber(ARGV[4])) then rec=redis.call('GET',KEYS[1]) end
redis.call('XADD',KEYS[4],'*','k',ARGV[3],'ver',ARGV[4],'rec',rec,'why',ARGV[5])
redis.call('HDEL',KEYS[2],ARGV[3])
redis.call('HSET',KEYS[5],ARGV[3],ARGV[4])
if rec~='' then redis.call('DEL',KEYS[1]) end
return publish(1,ARGV[6],ARGV[7])
