-- ack  KEYS: dirty, schedule, tries, then records
-- ARGV: channel, then of each record: key, claim, version, px ('0' = remove the record), softMs, cid, message
-- of each: 1 clean | 2 a newer value is there, and due | 3 clean, there was no value
local out,why={},nil
for i=1,#KEYS-3 do
  local k,a=KEYS[3+i],7*i-6
  local key,ver,px=ARGV[a+1],ARGV[a+3],ARGV[a+4]
  local kind,till,_,_,_,has=head(k)
  redis.call('HDEL',KEYS[3],key) -- first: needs no memory, see claim
  if kind=='D' and has>ver then
    -- Of all puts since, the time of the last is known. None of them is older than the value that is written.
    local since=math.floor((tonumber(ver,16) or 0)/1000)
    if since>0 and since<=now then redis.call('ZADD',KEYS[1],'XX',ts(since),key) end
    redis.call('ZADD',KEYS[2],'XX',ts(now),key)
    out[i]=2
  else
    local mine=redis.call('ZSCORE',KEYS[2],key)==ARGV[a+2]
    redis.call('ZREM',KEYS[1],key)
    redis.call('ZREM',KEYS[2],key)
    out[i]=kind=='D' and 1 or 3
    -- Of an older version Redis has come back as it was before, and so it may where the claim was lost.
    if kind=='D' and (has~=ver or px=='0' or till>0 or not mine) then
      redis.call('DEL',k)
    elseif kind=='D' then
      -- An unversioned value from now on: the versions of puts are times of Redis, and no loader's
      -- version would ever be higher.
      redis.call('SETRANGE',k,'0',record('V',Z13,fresh(ARGV[a+5]),D16,ARGV[a+6],Z16))
      redis.call('PEXPIRE',k,px)
    end
    local told=kind=='D' and publish(1,ARGV[1],ARGV[a+7]) or 1
    if told~=1 then why=told[2] end
  end
end
return why and {out,why} or out
