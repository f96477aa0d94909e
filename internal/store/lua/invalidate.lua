-- invalidate  KEYS[1] record ; ARGV: channel, message
-- 1 removed (a foreign string too) | 0 nothing there, or another type
-- 2 write intent kept (marked conflicting) | 3 dirty write-behind record kept
local h=head(KEYS)
local r=h.kind=='' and 0 or 1
if h.kind=='D' then touch(KEYS,h) return 3 end
if h.kind=='W' and h.till>now then
  redis.call('SETRANGE',KEYS[1],61,'1') r=2
elseif h.type then
  touch(KEYS,h) r=0
else
  redis.call('DEL',KEYS[1]) -- also where there is nothing: see touch
end
return publish(r,ARGV[1],ARGV[2])
