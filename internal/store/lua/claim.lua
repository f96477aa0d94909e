-- claim  KEYS: schedule, tries ; ARGV: count, leaseMs
-- {until when, which names the claim, keys that are due, the tries of each: '' = none}
local till,due=string.format('%.0f',now+ARGV[2]),redis.call('ZRANGEBYSCORE',KEYS[1],'-inf',ts(now),'LIMIT','0',ARGV[1])
local some,tries=#due>0 and redis.call('EXISTS',KEYS[2])==1,{}
if #due>0 then redis.call('PERSIST',KEYS[1]) end -- needs no memory: Redis lets a script go on that has written
for i=1,#due do
  redis.call('ZADD',KEYS[1],'XX',till,due[i])
  tries[i]=some and redis.call('HGET',KEYS[2],due[i]) or ''
end
return {till,due,tries}
