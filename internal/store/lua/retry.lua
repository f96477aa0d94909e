-- retry (sent once)  KEYS: record, dirty, tickets, dead, doomed
-- ARGV: id, key, channel, message
-- 1 dirty again, with its old version | 0 no such letter | -1 something newer is there
-- -2 the letter has no record | -3 foreign record, or a newer program's
local e=redis.call('XRANGE',KEYS[4],ARGV[1],ARGV[1])
if #e==0 then return 0 end
local f={}
for i=1,#e[1][2],2 do f[e[1][2][i]]=e[1][2][i+1] end
if f.k~=ARGV[2] then return 0 end
local kind=head(KEYS[1])
if kind=='X' or kind=='N' then return -3 end
if redis.call('HGET',KEYS[5],f.k)~=f.ver or redis.call('HEXISTS',KEYS[2],f.k)==1
  or kind=='W' then return -1 end
if parse(f.rec)~='D' then return -2 end
redis.call('XADD',KEYS[3],'*','k',f.k) -- first: without memory this one is refused
redis.call('HSET',KEYS[2],f.k,f.ver)
redis.call('SET',KEYS[1],f.rec)
redis.call('XDEL',KEYS[4],ARGV[1])
redis.call('HDEL',KEYS[5],f.k)
return publish(1,ARGV[3],ARGV[4])
