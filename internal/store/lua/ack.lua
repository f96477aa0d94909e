-- ack (publish)  KEYS: dirty, tickets, record
-- ARGV: group, id, key, ver, ttlMs ('0' = remove the record), cid, channel, message
-- 1 clean | 2 newer value: another ticket | 0 somebody settled the ticket before
if redis.call('XACK',KEYS[2],ARGV[1],ARGV[2])==0 then return 0 end
redis.call('XDEL',KEYS[2],ARGV[2])
local cur=redis.call('HGET',KEYS[1],ARGV[3])
if not cur then return 1 end
if cur~=ARGV[4] then redis.call('XADD',KEYS[2],'*','k',ARGV[3]) return 2 end
redis.call('HDEL',KEYS[1],ARGV[3])
local h=redis.pcall('GETRANGE',KEYS[3],0,63)
if type(h)=='string' and string.sub(h,1,3)=='K1D'
  and string.sub(h,49,64)==string.format('%016x',tonumber(ARGV[4])) then
  if ARGV[5]=='0' or string.sub(h,4,16)~='0000000000000' then
    redis.call('DEL',KEYS[3])
  else
    -- An unversioned value from now on: the versions of puts are times of Redis, and
    -- no loader's version would ever be higher.
    redis.call('SETRANGE',KEYS[3],2,'V0000000000000----------------'..ARGV[6]..'0000000000000000')
    redis.call('PEXPIRE',KEYS[3],ARGV[5])
  end
  publish(ARGV[7],ARGV[8])
end
return 1
