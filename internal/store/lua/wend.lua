-- wend  KEYS[1] record
-- ARGV: token, px, softMs, ver, body ('' = do not populate), channel, message
-- 'S' populated | 'D' removed | 'K' other intents still open
-- 'L' own intent was lost: cache left empty, or another intent marked conflicting | 'X' foreign
local h=head(KEYS)
if h.kind=='X' then touch(KEYS,h) return 'X' end
local open,mine,last={},false,0
if h.kind=='W' then
  local all=redis.call('GETRANGE',KEYS[1],80,-1)
  for i=1,#all-28,29 do
    local till=tonumber(string.sub(all,i+16,i+28)) or 0
    if string.sub(all,i,i+15)==ARGV[1] then mine=true
    elseif till>now then open[#open+1]=string.sub(all,i,i+28) last=math.max(last,till) end
  end
end
local r='L'
if #open>0 then
  redis.call('SET',KEYS[1],record('W',ts(last),Z13,D16,D16,'1000000000000000')..table.concat(open),
    'PX',string.format('%.0f',last-now))
  if mine then r='K' end
elseif mine and ARGV[5]~='' and string.sub(h.ver,1,1)=='0' then
  redis.call('SET',KEYS[1],record('V',Z13,fresh(ARGV[3]),D16,ARGV[1],ARGV[4])..ARGV[5],'PX',ARGV[2])
  r='S'
elseif h.kind=='D' then
  touch(KEYS,h)
else
  redis.call('DEL',KEYS[1])
  if mine then r='D' end
end
return publish(r,ARGV[6],ARGV[7]) -- the database was written, whatever became of the record
