-- setv  KEYS[1] record ; ARGV: ver, px, softMs, cid, body, channel, message
-- 'S' set | 'O' older than the record, or the same set again | 'M' missing: not populated
-- 'D' lease, record that is not fresh, unversioned or equally versioned of another load: removed
-- 'W' intent present: marked conflicting | 'X' dirty write-behind or foreign record
local h=head(KEYS)
if h.kind=='X' or h.kind=='D' then touch(KEYS,h) return 'X' end
local r='D'
if h.kind=='' then r='M'
elseif h.kind=='W' then r='W'
elseif h.kind=='V' and h.fresh>now and h.ver~=Z16 then
  if h.ver>ARGV[1] or (h.ver==ARGV[1] and h.cid==ARGV[4]) then touch(KEYS,h) return 'O' end
  if h.ver<ARGV[1] then r='S' end
end
if r=='S' then
  redis.call('SET',KEYS[1],record('V',Z13,fresh(ARGV[3]),D16,ARGV[4],ARGV[1])..ARGV[5],'PX',ARGV[2])
elseif r=='W' then
  redis.call('SETRANGE',KEYS[1],61,'1')
else
  redis.call('DEL',KEYS[1])
end
return publish(r,ARGV[6],ARGV[7])
