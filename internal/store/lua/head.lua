-- Prelude of the scripts on records. KEYS[1] is the record.
-- now is Redis time in ms; ts(ms) a deadline, and ver(n) a version, in the digits of a header.
local Z13,D16,Z16='0000000000000','----------------','0000000000000000'
local t=redis.call('TIME') local now=t[1]*1000+math.floor(t[2]/1000)
local function ts(ms) return string.format('%013.0f',math.min(math.max(ms,0),9999999999999)) end
-- record: one of ours. fresh is now+soft, soft the ms that the writer says are left; never 0, which is unknown.
local function record(kind,till,fresh,tok,cid,ver) return 'K1'..kind..till..fresh..tok..cid..ver..'000' end
local function fresh(soft) return ts(math.max(now+soft,1)) end
-- parse: the header that the bytes b begin with. kind is '' nothing, 'X' not ours, 'T' ours, but cut short
-- or without a name by which a reader could replace it, 'N' a newer program's, else the letter.
local function parse(b)
  if b=='' then return {kind=''} end
  if string.sub(b,1,2)~='K1' then return {kind='X'} end
  local h={kind=string.sub(b,3,3),till=tonumber(string.sub(b,4,16)) or 0,fresh=tonumber(string.sub(b,17,29)) or 0,
    tok=string.sub(b,30,45),cid=string.sub(b,46,61),ver=string.sub(b,62,77)}
  if #b<80 or h.cid==string.rep('\0',16) then return {kind='T'} end
  if string.sub(b,78,80)~='000' and h.kind~='D' or not string.find('LVWED',h.kind,1,true) then h.kind='N' end
  return h
end
-- head: the header of the record; type: it is no string. A command that is refused is an error, and no foreign record.
local function head(KEYS)
  local b=redis.pcall('GETRANGE',KEYS[1],0,79)
  if type(b)=='string' then return parse(b) end
  if not string.find(b.err,'WRONGTYPE',1,true) then redis.call('GETRANGE',KEYS[1],0,79) end
  return {kind='X',type=true}
end
-- touch writes and changes nothing, but that nothing stays nothing: a replica, whose record is not the
-- one that was to be changed, refuses it as it refuses a change.
local function touch(KEYS,h)
  if h.kind=='' then redis.call('DEL',KEYS[1]) else redis.call('RENAMENX',KEYS[1],KEYS[1]) end
end
-- publish tells the L1 of other processes, '' nobody. It is the last that a script does, and where it fails
-- the answer is {answer, why}: the change was made.
local function publish(answer,channel,message)
  if channel~='' then
    local r=redis.pcall('PUBLISH',channel,message)
    if type(r)=='table' and r.err then return {answer,r.err} end
  end
  return answer
end
