-- Prelude of the scripts on records, behind clock.lua. A script is a function one(k,a) of a record's key, whose
-- arguments are ARGV[a+1] and so on: it is called once, or for each key of a batch.
--
-- store: rec under k, for px, with the soft deadline in its header. That is cheaper than to put the header
-- before a body here, which copies it.
local function store(k,rec,px,soft)
  redis.call('SET',k,rec,'PX',px)
  redis.call('SETRANGE',k,'16',fresh(soft))
end
-- parse: kind, till, fresh, tok, cid and ver of the header that the bytes b begin with. kind is '' nothing,
-- 'X' not ours, 'T' ours, but cut short or without a name by which a reader could replace it, 'N' a newer
-- program's, else the letter.
local NOBODY=string.rep('\0',16)
local function parse(b)
  local kind,till,fresh,tok,cid,ver,tail=string.match(b,
    '^K1(.)(.............)(.............)(................)(................)(................)(...)')
  if not kind then return b=='' and '' or string.sub(b,1,2)=='K1' and 'T' or 'X',0 end
  if cid==NOBODY then kind='T'
  elseif tail~='000' and kind~='D' or not string.find('LVWED',kind,1,true) then kind='N' end
  return kind,tonumber(till) or 0,tonumber(fresh) or 0,tok,cid,ver
end
-- head: the header of the record; 'X' alone is another type. A command that is refused is an error, and no
-- foreign record. Offsets are strings: to format a number takes longer than to read the header.
local function head(k)
  local b=redis.pcall('GETRANGE',k,'0','79')
  if type(b)=='string' then return parse(b) end
  if not string.find(b.err,'WRONGTYPE',1,true) then redis.call('GETRANGE',k,'0','79') end
  return 'X'
end
-- touch writes and changes nothing, but that nothing stays nothing: a replica, whose record is not the
-- one that was to be changed, refuses it as it refuses a change.
local function touch(k,kind)
  if kind=='' then redis.call('DEL',k) else redis.call('RENAMENX',k,k) end
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
