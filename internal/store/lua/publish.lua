-- Prelude of the scripts that tell other processes' L1: publishes last, '' publishes nothing.
local function publish(channel,message)
  if channel~='' then redis.call('PUBLISH',channel,message) end
end
