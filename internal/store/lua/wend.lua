-- wend  ARGV: token, px, softMs, record ('' = do not populate), channel, message
-- 'S' populated | 'D' removed | 'K' other intents still open
-- 'L' own intent was lost: cache left empty, or another intent marked conflicting | 'X' foreign
local function one(k,a)
  local kind,_,_,_,_,ver=head(k)
  if kind=='X' then touch(k,kind) return 'X' end
  local open,mine,last={},false,0
  if kind=='W' then
    local all=redis.call('GETRANGE',k,'80','-1')
    for i=1,#all-28,29 do
      local till=tonumber(string.sub(all,i+16,i+28)) or 0
      if string.sub(all,i,i+15)==ARGV[a+1] then mine=true
      elseif till>now then open[#open+1]=string.sub(all,i,i+28) last=math.max(last,till) end
    end
  end
  local r='L'
  if #open>0 then
    redis.call('SET',k,record('W',ts(last),Z13,D16,D16,'1000000000000000')..table.concat(open),
      'PX',string.format('%.0f',last-now))
    if mine then r='K' end
  elseif mine and ARGV[a+4]~='' and string.sub(ver,1,1)=='0' then
    store(k,ARGV[a+4],ARGV[a+2],ARGV[a+3])
    r='S'
  elseif kind=='D' then
    touch(k,kind)
  else
    redis.call('DEL',k)
    if mine then r='D' end
  end
  return publish(r,ARGV[a+5],ARGV[a+6]) -- the database was written, whatever became of the record
end
