-- commit  ARGV: terms, record, channel, message
-- 1 committed | 0 refused | 2 older than what is cached and fresh: read again instead of returning it
-- The terms are in one argument, as each costs the server time: lease, the record that was granted, of which
-- only the token counts here, and in commit_quick.lua each byte; when the entry ends, in 13 digits ('000...' =
-- px from now on); px ('0' = remove), softMs and version ('' = no floor).
local function one(k,a)
  local kind,_,fresh,tok,_,ver=head(k)
  local terms=ARGV[a+1]
  local px,soft,floor=string.match(terms,'^(%d+) (%-?%d+) (%x*)$',94)
  if (kind~='L' and kind~='V') or tok~=string.sub(terms,30,45) then return 0 end
  -- What is not fresh any more, or not known to be, is replaced by what the database has now, also if
  -- that is older: else the loads of a key whose version went down would never end.
  if px=='0' then
    redis.call('DEL',k)
  elseif kind=='V' and fresh>now and floor~='' and ver>floor then
    redis.call('SETRANGE',k,'3',Z13)
    redis.call('SETRANGE',k,'29',D16)
    return 2
  else
    store(k,ARGV[a+2],px,soft)
  end
  if kind=='L' then return 1 end -- there was nothing to hold in an L1
  return publish(1,ARGV[a+3],ARGV[a+4])
end
