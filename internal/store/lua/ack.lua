-- ack  KEYS: record, dirty, tickets
-- ARGV: group, id, key, ver, ttlMs ('0' = remove the record), softMs, cid, channel, message
-- 1 clean | 2 newer value: another ticket | 0 somebody settled the ticket before
if redis.call('XACK',KEYS[3],ARGV[1],ARGV[2])==0 then return 0 end
redis.call('XDEL',KEYS[3],ARGV[2])
local cur=redis.call('HGET',KEYS[2],ARGV[3])
if not cur then return 1 end
if cur~=ARGV[4] then redis.call('XADD',KEYS[3],'*','k',ARGV[3]) return 2 end
redis.call('HDEL',KEYS[2],ARGV[3])
local kind,till,_,_,_,ver=head(KEYS[1])
if kind~='D' or ver~=string.format('%016x',tonumber(ARGV[4])) then return 1 end
if ARGV[5]=='0' or till>0 then
  redis.call('DEL',KEYS[1])
else
  -- An unversioned value from now on: the versions of puts are times of Redis, and
  -- no loader's version would ever be higher.
  redis.call('SETRANGE',KEYS[1],'0',record('V',Z13,fresh(ARGV[6]),D16,ARGV[7],Z16))
  redis.call('PEXPIRE',KEYS[1],ARGV[5])
end
return publish(1,ARGV[8],ARGV[9])
