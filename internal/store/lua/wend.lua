-- wend (publish)  KEYS[1] entry
-- ARGV: token, px, ver, body ('' = do not populate), channel, message
-- 'S' populated | 'D' removed | 'K' other intents still open
-- 'L' own intent was lost: cache left empty, or another intent marked conflicting | 'X' foreign
local k=KEYS[1]
local h=redis.pcall('GETRANGE',k,0,63)
if type(h)=='table' then h='??' end
if h~='' and string.sub(h,1,2)~='K1' then return 'X' end
local r='L'
if string.sub(h,1,3)~='K1W' or #h<64 then
  if h~='' and string.sub(h,1,3)~='K1D' then redis.call('DEL',k) end
else
  local set=redis.call('GETRANGE',k,64,-1)
  local out,found='',false
  for i=1,#set,16 do
    local s=string.sub(set,i,i+15)
    if s==ARGV[1] and not found then found=true else out=out..s end
  end
  if not found then
    redis.call('SETRANGE',k,48,'1')
  elseif out~='' then
    redis.call('SET',k,string.sub(h,1,48)..'1'..string.sub(h,50,64)..out,'KEEPTTL') r='K'
  elseif string.sub(h,49,49)=='0' and ARGV[4]~='' then
    redis.call('SET',k,'K1V0000000000000----------------'..ARGV[1]..ARGV[3]..ARGV[4],'PX',ARGV[2])
    r='S'
  else
    redis.call('DEL',k) r='D'
  end
end
publish(ARGV[5],ARGV[6]) -- the database was written, whatever became of the record
return r
