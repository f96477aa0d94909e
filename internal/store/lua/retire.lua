-- retire  KEYS: clock  ARGV: px ('0': for good, '': not any more)
-- The clock of a partition that takes no puts is a text, whose end is its last version. 1 as long as it is one.
local last=string.match(redis.call('GET',KEYS[1]) or '0','%d+$') or '0'
if ARGV[1]=='' then redis.call('SET',KEYS[1],last)
elseif ARGV[1]=='0' then redis.call('SET',KEYS[1],'retired '..last)
else redis.call('SET',KEYS[1],'retired '..last,'PX',ARGV[1]) end
return ARGV[1]=='' and 0 or 1
