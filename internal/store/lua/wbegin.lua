-- wbegin (sent once)  ARGV: token, intentMs, channel, message
-- number of open intents | -1 dirty write-behind record | -2 foreign record, or a newer program's
-- The record's body is the list of the open intents: token, and deadline. Those that are over are left out.
local function one(k,a)
  local kind=head(k)
  if kind=='D' then touch(k,kind) return -1 end
  if kind=='X' or kind=='N' then touch(k,kind) return -2 end
  local open,mine,last={},false,now+ARGV[a+2]
  if kind=='W' then
    local all=redis.call('GETRANGE',k,'80','-1')
    for i=1,#all-28,29 do
      local till=tonumber(string.sub(all,i+16,i+28)) or 0
      if till>now then
        open[#open+1]=string.sub(all,i,i+28)
        mine=mine or string.sub(all,i,i+15)==ARGV[a+1]
        last=math.max(last,till)
      end
    end
  end
  if not mine then
    local conflict=#open>0 and '1' or '0'
    open[#open+1]=ARGV[a+1]..ts(now+ARGV[a+2])
    redis.call('SET',k,record('W',ts(last),Z13,D16,D16,conflict..'000000000000000')..table.concat(open),
      'PX',string.format('%.0f',last-now))
  end
  -- Now, and not only in the end: a writer that dies leaves no L1 with what it may have changed. Nothing
  -- is put into one as long as the intent stands.
  return publish(#open,ARGV[a+3],ARGV[a+4])
end
