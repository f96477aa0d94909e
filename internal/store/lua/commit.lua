-- commit  ARGV: lease, px ('0' = remove), softMs, record, version ('' = no floor), channel, message,
-- when it ends ('0' = px from now on)
-- lease is the record that was granted: only its token counts here, in commit_quick.lua each byte.
-- 1 committed | 0 refused | 2 older than what is cached and fresh: read again instead of returning it
local function one(k,a)
  local kind,_,fresh,tok,_,ver=head(k)
  if (kind~='L' and kind~='V') or tok~=string.sub(ARGV[a+1],30,45) then return 0 end
  -- What is not fresh any more, or not known to be, is replaced by what the database has now, also if
  -- that is older: else the loads of a key whose version went down would never end.
  if ARGV[a+2]=='0' then
    redis.call('DEL',k)
  elseif kind=='V' and fresh>now and ARGV[a+5]~='' and ver>ARGV[a+5] then
    redis.call('SETRANGE',k,'3',Z13)
    redis.call('SETRANGE',k,'29',D16)
    return 2
  else
    store(k,ARGV[a+4],ARGV[a+2],ARGV[a+3])
  end
  if kind=='L' then return 1 end -- there was nothing to hold in an L1
  return publish(1,ARGV[a+6],ARGV[a+7])
end
