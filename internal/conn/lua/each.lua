-- each (a script on one key as the function one(k,a), and quick(k,a) before it unless that is nil)
-- KEYS: any number ; ARGV: the arguments of one for the first key, for the second, ...
-- {answers, failures}: failures are number and text of the errors of one; the answer is then false.
-- They are no error replies: go-redis 9.23 loses its place in a list that has a known one (OOM).
-- An error that all keys have is the script's: a client acts on some (READONLY).
local function text(e) -- Redis 6 says where before what, a miniredis always; an error of Lua's has no code
  if type(e)=='table' then e=e.err end
  e=string.match(e,'^@user_script: %d+: %-?(.-)%s*$') or e
  return string.find(e,'^%u+ ') and e or 'ERR '..e
end
local n,answers,failures,all=#ARGV/#KEYS,{},{},nil
for i,k in ipairs(KEYS) do
  local ok,answer=true,quick and quick(k,(i-1)*n)
  if not answer then ok,answer=pcall(one,k,(i-1)*n) end
  if ok then
    answers[i],all=answer,false
  else
    local e=text(answer)
    answers[i],failures[#failures+1],failures[#failures+2]=false,i,e
    if i==1 then all=e elseif all~=e then all=false end
  end
end
if all then return {err=all} end
return {answers,failures}
