-- acquire  KEYS[1] record
-- ARGV: token, leaseMs, retainMs, seenCid ('' = saw a miss), invalid ('1' = record seenCid is invalid)
-- {'G',now} granted, no value | {'GS',now} granted over a value | {'B',now,ms} somebody loads
-- {'H',now,pttl,record} changed since it was read | {'W',now,ms} write in progress
-- {'E',now,ms} backing off after a failed load | {'X',now} foreign record, or a newer program's
local h=head(KEYS)
local kind=h.kind
local function grant()
  redis.call('SET',KEYS[1],record('L',ts(now+ARGV[2]),Z13,ARGV[1],D16,Z16),'PX',ARGV[3])
  return {'G',now}
end
if kind=='X' or kind=='N' then return {'X',now} end
if kind=='D' then return {'H',now,-1,redis.call('GET',KEYS[1])} end
if kind=='' or kind=='T' then return grant() end
local left=h.till-now
local busy=left>0 and h.tok~=ARGV[1]
if kind=='V' then
  if h.cid~=ARGV[4] then
    return {'H',now,redis.call('PTTL',KEYS[1]),redis.call('GET',KEYS[1])}
  end
  if busy then return {h.tok==D16 and 'E' or 'B',now,left} end -- E: after a failed refresh
  if ARGV[5]=='1' then return grant() end
  redis.call('SETRANGE',KEYS[1],3,ts(now+ARGV[2]))
  redis.call('SETRANGE',KEYS[1],29,ARGV[1])
  return {'GS',now}
end
if busy then return {(kind=='W' or kind=='E') and kind or 'B',now,left} end
return grant()
