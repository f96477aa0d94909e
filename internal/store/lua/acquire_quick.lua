-- acquire, where there is nothing
local granted='G'..ts(now)
local function quick(k,a)
  local lease=record('L',ts(now+ARGV[a+2]),Z13,ARGV[a+1],D16,Z16)
  local r=redis.pcall('SET',k,lease,'NX','PX',ARGV[a+3])
  if r and r.ok then return granted end
end
