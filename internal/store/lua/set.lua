-- set (sent once)  ARGV: version, px, softMs, record, channel, message
-- 'S' set | 'O' older than the record | 'W' intent present: marked conflicting, not stored
-- 'D' dirty write-behind record | 'X' foreign record, or a newer program's
local function one(k,a)
  local kind,till,_,_,_,ver=head(k)
  if kind=='X' or kind=='N' then touch(k,kind) return 'X' end
  if kind=='D' then touch(k,kind) return 'D' end
  if kind=='W' and till>now then
    redis.call('SETRANGE',k,'61','1')
    return publish('W',ARGV[a+5],ARGV[a+6])
  end
  if kind=='V' and ARGV[a+1]~=Z16 and ver>ARGV[a+1] then touch(k,kind) return 'O' end
  store(k,ARGV[a+4],ARGV[a+2],ARGV[a+3])
  return publish('S',ARGV[a+5],ARGV[a+6])
end
