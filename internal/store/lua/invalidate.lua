-- invalidate  ARGV: channel, message
-- 1 removed (a foreign string too) | 0 nothing there, or another type
-- 2 write intent kept (marked conflicting) | 3 dirty write-behind record kept
local function one(k,a)
  local kind,till=head(k)
  if kind=='D' then touch(k,kind) return 3 end
  local r=kind=='' and 0 or 1
  if kind=='W' and till>now then
    redis.call('SETRANGE',k,'61','1') r=2
  elseif not till then -- another type
    touch(k,kind) r=0
  else
    redis.call('DEL',k) -- also where there is nothing: see touch
  end
  return publish(r,ARGV[a+1],ARGV[a+2])
end
