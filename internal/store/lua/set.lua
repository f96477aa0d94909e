-- set (sent once)  KEYS[1] record ; ARGV: ver, px, softMs, cid, body, channel, message
-- 'S' set | 'O' older than the record | 'W' intent present: marked conflicting, not stored
-- 'D' dirty write-behind record | 'X' foreign record, or a newer program's
local h=head(KEYS)
if h.kind=='X' or h.kind=='N' then touch(KEYS,h) return 'X' end
if h.kind=='D' then touch(KEYS,h) return 'D' end
if h.kind=='W' and h.till>now then
  redis.call('SETRANGE',KEYS[1],61,'1')
  return publish('W',ARGV[6],ARGV[7])
end
if h.kind=='V' and ARGV[1]~=Z16 and h.ver>ARGV[1] then touch(KEYS,h) return 'O' end
redis.call('SET',KEYS[1],record('V',Z13,fresh(ARGV[3]),D16,ARGV[4],ARGV[1])..ARGV[5],'PX',ARGV[2])
return publish('S',ARGV[6],ARGV[7])
