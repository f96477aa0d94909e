-- commit, where the lease of an entry that was not there is still as it was granted, to the byte: there is
-- nothing to take apart, nor a version to be compared, nor an L1 that could have a value. The writer says until
-- when the entry is fresh and when it ends: the clock need not be asked. With GET in
-- place of GETRANGE, which costs the same, nobody would be told that a server without GETRANGE will not do.
local function quick(k,a)
  local terms=ARGV[a+1]
  if string.byte(terms,81)~=48 and redis.pcall('GETRANGE',k,'0','79')==string.sub(terms,1,80) then
    if redis.pcall('SET',k,ARGV[a+2],'PXAT',string.sub(terms,81,93)).ok then return 1 end
  end
end
