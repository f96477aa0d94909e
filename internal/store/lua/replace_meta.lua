-- replace_meta  KEYS: meta record  ARGV: what it may say, what it is to say; what it says then
if redis.call('GET',KEYS[1])==ARGV[1] then redis.call('SET',KEYS[1],ARGV[2]) end
return redis.call('GET',KEYS[1]) or ''
