-- setv  ARGV: version, px, softMs, record, cid, channel, message
-- 'S' set | 'O' older than the record, or the same set again | 'M' missing: not populated
-- 'D' lease, record that is not fresh, unversioned or equally versioned of another load: removed
-- 'W' intent present: marked conflicting | 'X' dirty write-behind or foreign record
local function one(k,a)
  local kind,_,fresh,_,cid,ver=head(k)
  if kind=='X' or kind=='D' then touch(k,kind) return 'X' end
  local r='D'
  if kind=='' then r='M'
  elseif kind=='W' then r='W'
  elseif kind=='V' and fresh>now and ver~=Z16 then
    if ver>ARGV[a+1] or (ver==ARGV[a+1] and cid==ARGV[a+5]) then touch(k,kind) return 'O' end
    if ver<ARGV[a+1] then r='S' end
  end
  if r=='S' then store(k,ARGV[a+4],ARGV[a+2],ARGV[a+3])
  elseif r=='W' then redis.call('SETRANGE',k,'61','1')
  else redis.call('DEL',k) end
  return publish(r,ARGV[a+6],ARGV[a+7])
end
