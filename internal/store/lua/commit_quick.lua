-- commit, where the lease of an entry that was not there is still as it was granted, to the byte: there is
-- nothing to take apart, nor a version to be compared, nor an L1 that could have a value. The writer says until
-- when the entry is fresh and when it ends: the clock need not be asked.
local function quick(k,a)
  if ARGV[a+8]~='0' and redis.pcall('GET',k)==ARGV[a+1] then
    if redis.pcall('SET',k,ARGV[a+4],'PXAT',ARGV[a+8]).ok then return 1 end
  end
end
