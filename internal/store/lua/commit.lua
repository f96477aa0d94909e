-- commit  KEYS[1] record
-- ARGV: token, px ('0' = remove), softMs, ver, body, absent ('1' skips the version floor), channel, message
-- 1 committed | 0 refused | 2 older than what is cached and fresh: read again instead of returning it
local h=head(KEYS)
if (h.kind~='L' and h.kind~='V') or h.tok~=ARGV[1] then return 0 end
if ARGV[2]=='0' then
  redis.call('DEL',KEYS[1])
else
  -- What is not fresh any more, or not known to be, is replaced by what the database has now, also if
  -- that is older: else the loads of a key whose version went down would never end.
  if h.kind=='V' and h.fresh>now and ARGV[6]~='1' and h.ver>ARGV[4] then
    redis.call('SETRANGE',KEYS[1],3,Z13)
    redis.call('SETRANGE',KEYS[1],29,D16)
    return 2
  end
  redis.call('SET',KEYS[1],record('V',Z13,fresh(ARGV[3]),D16,ARGV[1],ARGV[4])..ARGV[5],'PX',ARGV[2])
end
if h.kind=='L' then return 1 end -- there was nothing to hold in an L1
return publish(1,ARGV[7],ARGV[8])
