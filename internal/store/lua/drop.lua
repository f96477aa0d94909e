-- drop  KEYS: dead, doomed ; ARGV: id
-- 1 dropped | 0 no such letter
local e=redis.call('XRANGE',KEYS[1],ARGV[1],ARGV[1])
if #e==0 then return 0 end
local f={}
for i=1,#e[1][2],2 do f[e[1][2][i]]=e[1][2][i+1] end
redis.call('XDEL',KEYS[1],ARGV[1])
if redis.call('HGET',KEYS[2],f.k)==f.ver then redis.call('HDEL',KEYS[2],f.k) end
return 1
