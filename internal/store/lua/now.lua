-- Prelude of the scripts that need Redis time: now in ms, ts(n) in the header's 13 digits.
local t=redis.call('TIME') local now=t[1]*1000+math.floor(t[2]/1000)
local function ts(n) return string.format('%013.0f',n) end
local Z13,D16,Z16='0000000000000','----------------','0000000000000000'
