-- inspect (acquire in a function)  KEYS: record [, dirty, letter] ; ARGV: key in dirty
-- Writes nothing: acquire's writes come to nothing, only its answer is wanted.
-- {pttl, record ('' = none), '1' = another type, acquire's answer without a record,
--  that if the record is invalid, since when it is dirty, version of its letter ('' = none)}
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
local _,_,_,_,cid=parse(rec)
local function would(invalid)
  local answer=acquire(dry,{'','1','1',cid or '',invalid})
  return type(answer)=='table' and answer[1] or answer
end
local dirty=KEYS[2] and redis.call('ZSCORE',KEYS[2],ARGV[1]) or ''
local letter=''
if KEYS[3] then
  local kind,_,_,_,_,ver=head(KEYS[3])
  letter=kind=='D' and ver or ''
end
return {pttl,rec,foreign,would('0'),would('1'),dirty,letter}
