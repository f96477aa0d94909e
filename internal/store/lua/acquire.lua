-- acquire (sent once)  ARGV: token, leaseMs, retainMs, seenCid ('' = saw a miss), invalid ('1' = record seenCid is invalid)
-- a letter, the time now in 13 digits, and with B, W and E the ms until it is worth asking again:
-- G granted, no value | R granted over a value | B somebody loads | W write in progress
-- E backing off after a failed load | X foreign record, or a newer program's
-- H changed since it was read: {'H' and now, pttl, record}
local stamp=ts(now)
local function one(k,a)
  local tok,seen=ARGV[a+1],ARGV[a+4]
  local kind,till,_,holder,cid=head(k)
  if kind=='X' or kind=='N' then return 'X'..stamp end
  if kind=='D' then return {'H'..stamp,-1,redis.call('GET',k)} end
  if kind=='V' and cid~=seen then return {'H'..stamp,redis.call('PTTL',k),redis.call('GET',k)} end
  if kind~='' and kind~='T' and till>now and holder~=tok then
    if kind=='V' and holder==D16 then kind='E' end -- after a failed refresh
    return ((kind=='W' or kind=='E') and kind or 'B')..stamp..string.format('%.0f',till-now)
  end
  if kind=='V' and ARGV[a+5]~='1' then
    redis.call('SETRANGE',k,'3',ts(now+ARGV[a+2]))
    redis.call('SETRANGE',k,'29',tok)
    return 'R'..stamp
  end
  redis.call('SET',k,record('L',ts(now+ARGV[a+2]),Z13,tok,D16,Z16),'PX',ARGV[a+3])
  return 'G'..stamp
end
