-- gauge  KEYS: dirty, tickets, dead
-- {now in ms, dirty keys, dead letters, id of the oldest ticket, of the newest}; '' = no ticket
local t=redis.call('TIME')
local first=redis.call('XRANGE',KEYS[2],'-','+','COUNT',1)
local last=redis.call('XREVRANGE',KEYS[2],'+','-','COUNT',1)
return {t[1]*1000+math.floor(t[2]/1000),redis.call('HLEN',KEYS[1]),redis.call('XLEN',KEYS[3]),
  #first>0 and first[1][1] or '',#last>0 and last[1][1] or ''}
