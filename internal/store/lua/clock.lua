-- What scripts need to make records. now is Redis time in ms; ts(ms) a deadline in the digits of a header, as ver a version.
local Z13,D16,Z16='0000000000000','----------------','0000000000000000'
local t=redis.call('TIME') local now=t[1]*1000+math.floor(t[2]/1000)
local lastms,lastts -- the same for most keys of a batch
local function ts(ms)
  if ms~=lastms then
    lastms,lastts=ms,string.format('%013.0f',ms<0 and 0 or ms>9999999999999 and 9999999999999 or ms)
  end
  return lastts
end
-- record: one of ours, without its body. fresh is now+soft, soft the ms that the writer says are left; never 0,
-- which is unknown, and even: an odd one is Expire's.
local function record(kind,till,fresh,tok,cid,ver) return 'K1'..kind..till..fresh..tok..cid..ver..'000' end
local function fresh(soft) local f=math.max(now+soft,2) return ts(f-f%2) end
