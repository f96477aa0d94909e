-- inspect (acquire in a function)  KEYS: record [, dirty, doomed] ; ARGV: key in those
-- Writes nothing: acquire's writes come to nothing, only its answer is wanted.
-- {now, pttl, record ('' = none), '1' = another type, acquire's letter and ms,
--  those if the record is invalid, version in dirty, in doomed ('' = none)}
local reads={GET=true,GETRANGE=true,PTTL=true}
local function only(f)
  return function(command,...) if reads[command] then return f(command,...) end end
end
local dry={call=only(redis.call),pcall=only(redis.pcall)}
local pttl=redis.call('PTTL',KEYS[1])
local rec,foreign=redis.pcall('GET',KEYS[1]),'0'
if type(rec)=='table' then
  if not string.find(rec.err,'WRONGTYPE',1,true) then redis.call('GET',KEYS[1]) end -- refused
  rec,foreign='','1'
end
if not rec then rec='' end
local function would(invalid) return acquire(dry,{'','1','1',parse(rec).cid or '',invalid}) end
local good,bad=would('0'),would('1')
local dirty=KEYS[2] and redis.call('HGET',KEYS[2],ARGV[1]) or ''
local doomed=KEYS[3] and redis.call('HGET',KEYS[3],ARGV[1]) or ''
return {now,pttl,rec,foreign,good[1],good[3] or 0,bad[1],bad[3] or 0,dirty,doomed}
