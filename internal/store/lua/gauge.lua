-- gauge  KEYS: dirty, letters, tries
-- {now in ms, dirty keys, dead letters, keys whose tries count, since when the oldest is dirty: '' = none}
return {now,redis.call('ZCARD',KEYS[1]),redis.call('ZCARD',KEYS[2]),redis.call('HLEN',KEYS[3]),
  redis.call('ZRANGE',KEYS[1],'0','0','WITHSCORES')[2] or ''}
