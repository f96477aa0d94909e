-- acquire (now)  KEYS[1] entry
-- ARGV: token, leaseMs, retainMs, seenCid ('' = saw a miss), invalid ('1' = record seenCid is invalid)
-- {'G',now} granted, no value | {'GS',now} granted over a value | {'B',now,ms} somebody loads
-- {'H',now,pttl,record} changed since it was read | {'W',now,ms} write in progress
-- {'E',now,ms} backing off after a failed load | {'X',now} foreign record
local k=KEYS[1]
local h=redis.pcall('GETRANGE',k,0,63)
if type(h)=='table' then h='??' end
if h~='' and string.sub(h,1,2)~='K1' then return {'X',now} end
local function grant()
  redis.call('SET',k,'K1L'..ts(now+ARGV[2])..ARGV[1]..D16..Z16,'PX',ARGV[3])
  return {'G',now}
end
local kind,tok=string.sub(h,3,3),string.sub(h,17,32)
if kind=='D' then return {'H',now,-1,redis.call('GET',k)} end
if #h<64 then return grant() end -- nothing, or a truncated record of ours
local left=(tonumber(string.sub(h,4,16)) or 0)-now
local busy=left>0 and tok~=ARGV[1]
if kind=='V' or kind=='S' then
  if string.sub(h,33,48)~=ARGV[4] then
    return {'H',now,redis.call('PTTL',k),redis.call('GET',k)}
  end
  if busy then return {tok==D16 and 'E' or 'B',now,left} end -- E: after a failed refresh
  if ARGV[5]=='1' then return grant() end
  redis.call('SETRANGE',k,3,ts(now+ARGV[2])..ARGV[1])
  return {'GS',now}
end
if busy then return {(kind=='W' or kind=='E') and kind or 'B',now,left} end
return grant()
