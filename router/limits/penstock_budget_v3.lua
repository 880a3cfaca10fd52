#!lua name=penstock_budget_v3
-- Budgets and rate limits of many processes. Each function is one atomic step over every scope of a request.
--
-- Money is integer nano-dollars: exact in Lua's doubles below 2^53, which is $9.0 million.
-- Time is the server's, in microseconds: processes may disagree about it, and only this clock decides. Windows of money
-- are drawn by `window_us`, which never goes back: a clock that is set back must not open a window anew. Rates, leases
-- and epochs go by `now_us`, the clock as it is: for them a time that stands still would be worse.
-- A change to what is stored or to a signature needs a new version in the library's name and in every function's.
--
-- Keys, behind the root that every call is given (it holds the hash tag, so all are on one node of a cluster):
--   :epoch                 hash    id, state (rebuilding|open), since, opens_at, quarantine, leader, leads_until, version,
--                                  read_at: the latest '' of those below
--   :EPOCH:account:NAME    hash    spent, held, opened; NAME is scope|per|start of the window
--   :EPOCH:sums:START      hash    what the ledger says each scope had spent since START when the epoch began
--   :EPOCH:later:START     hash    the same, read when a purse began to be counted; '' is a moment before that
--   :EPOCH:counted         hash    purse -> since when all that it pays is counted; 0: since the epoch began. A purse is
--                                  scope|per, all keys of a team together (key|TEAM||per): a budget that one could have
--   :EPOCH:counting        hash    process -> the purses that its configuration has, packed
--   :holds                 hash    reservation id -> {amount, windows}; windows are {scope, per, starts, ends}
--   :leases                zset    reservation id -> when its lease ends
--   :settled:ID            string  the epoch in which that reservation was settled, remembered for 25 hours
--   :recent                hash    during a rebuild: settled sums that the ledger may not have yet
--   :living                zset    process -> when it was heard last
--   :EPOCH:accounted_for   set     during a rebuild: processes that have registered what they hold, or are dead
--   :admitted:SCOPE        zset    ADMISSION:tokens -> when, of the last minute;  :tokens:SCOPE  their sum
--   :under_way:SCOPE       zset    ADMISSION -> when its lease ends
--
-- Counters are believed only if this very server process saw their epoch begin. `begun` is its memory: it is lost when
-- the process ends, and a server that was restarted, or a replica that took over, may hold an older state.

local begun = {}

local MINUTE_US = 60 * 1000000
local REMEMBERED_MS = 25 * 3600 * 1000 -- settled ids
local KEPT_MS = 3600 * 1000 -- an account after its window has ended
local SUMS_KEPT_MS = 32 * 86400 * 1000 -- the longest window is a month

local function now_us()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

local latest = 0

local function window_us()
  latest = math.max(latest, now_us())
  return latest
end

-- What `..` would write as 1.7e+15.
local function text(number) return string.format('%.0f', number) end

-- The epoch if its counters can be believed, else nil and why not.
local function believed(root)
  local id, state, since = unpack(redis.call('HMGET', root .. ':epoch', 'id', 'state', 'since'))
  if not id or not begun[id] then return nil, 'lost' end
  local own = root .. ':' .. id
  return {
    key = root .. ':epoch', id = id, state = state, since = tonumber(since), sums = own .. ':sums:', later = own .. ':later:',
    accounts = own .. ':account:', counted = own .. ':counted', counting = own .. ':counting',
  }, state
end

-- The same, if it is the epoch that the caller means.
local function epoch_called(root, id)
  local epoch, state = believed(root)
  if epoch and epoch.id == id then return epoch, state end
end

-- The same, if it is the epoch that the caller has registered its holds in, and open.
local function open_epoch(root, id)
  local epoch, state = believed(root)
  if not epoch then return nil, state end
  if epoch.id ~= id then return nil, 'unregistered' end
  if state ~= 'open' then return nil, state end
  return epoch
end

local function window_from(args, at)
  return {args[at], args[at + 1], tonumber(args[at + 2]), tonumber(args[at + 3])}
end

local function key_of(epoch, window)
  return epoch.accounts .. window[1] .. '|' .. window[2] .. '|' .. text(window[3])
end

local function purse_of(window)
  return (window[1]:match('^key|[^|]*|') or window[1]) .. '|' .. window[2]
end

-- Since when the purse is counted: later than any reading of the ledger until now, so that none is taken for a newer one.
local function begin_to_count(epoch, purse, now)
  local since = 0
  if epoch.state == 'open' then since = math.max(now, (redis.call('HGET', epoch.key, 'read_at') or 0) + 1) end
  redis.call('HSET', epoch.counted, purse, text(since))
  return since
end

local function counted_since(epoch, window, now)
  local purse = purse_of(window)
  return tonumber(redis.call('HGET', epoch.counted, purse) or begin_to_count(epoch, purse, now))
end

-- What the ledger had of the window before it was counted here: a number as text, or nil if that must be told first.
local function spent_before(epoch, window, since)
  if since == 0 then
    if window[3] > epoch.since then return '0' end
    local sums = epoch.sums .. text(window[3])
    if redis.call('EXISTS', sums) == 0 then return nil end
    return redis.call('HGET', sums, window[1]) or '0'
  end
  if window[3] > since then return '0' end
  local spent, read_at = unpack(redis.call('HMGET', epoch.later .. text(window[3]), window[1], ''))
  if not read_at or tonumber(read_at) < since then return nil end
  return spent or '0'
end

-- The key of the window's account with what is spent and held in it, opened if need be; nil, and the moment that it must
-- be read after, if what the ledger says must be told first (`sums`). An account from before its purse was counted anew
-- is opened anew: what was paid meanwhile is not in it.
local function account(epoch, window, now)
  local key = key_of(epoch, window)
  local spent, held, opened = unpack(redis.call('HMGET', key, 'spent', 'held', 'opened'))
  local since = counted_since(epoch, window, now)
  if opened and tonumber(opened) >= since then return key, spent, held end
  spent = spent_before(epoch, window, since)
  if not spent then return nil, since end
  redis.call('HSET', key, 'spent', spent, 'held', held or '0', 'opened', text(math.max(now, since)))
  redis.call('PEXPIRE', key, math.max(math.ceil((window[4] - now) / 1000), 0) + KEPT_MS)
  return key, spent, held or '0'
end

-- From now on this process counts these purses. One that nobody has counted lacks what was paid before and meanwhile.
local function count(epoch, process, purses, now)
  local known, its, own = {}, {}, {}
  local all = redis.call('HGETALL', epoch.counting)
  for at = 1, #all, 2 do
    for _, purse in ipairs(cmsgpack.unpack(all[at + 1])) do
      known[purse] = true
      if all[at] == process then its[purse] = true end
    end
  end
  for _, purse in ipairs(purses) do
    if not known[purse] then begin_to_count(epoch, purse, now) end
    its[purse] = true
  end
  for purse in pairs(its) do own[#own + 1] = purse end
  redis.call('HSET', epoch.counting, process, cmsgpack.pack(own))
  redis.call('PEXPIRE', epoch.counted, SUMS_KEPT_MS)
  redis.call('PEXPIRE', epoch.counting, SUMS_KEPT_MS)
end

local function settled_key(root, id) return root .. ':settled:' .. id end

local function remember_settled(root, epoch, id)
  redis.call('SET', settled_key(root, id), epoch.id, 'PX', REMEMBERED_MS)
end

local function forget_hold(root, id)
  redis.call('HDEL', root .. ':holds', id)
  redis.call('ZREM', root .. ':leases', id)
end

-- args: epoch, id, amount, lease_us, then scope, per, starts, ends, limit of each budget
local function reserve(keys, args)
  local root, now = keys[1], window_us()
  local epoch, problem = open_epoch(root, args[1])
  if not epoch then return {problem} end
  local id, amount = args[2], tonumber(args[3])
  if redis.call('EXISTS', settled_key(root, id)) == 1 then return {'settled'} end
  if redis.call('HEXISTS', root .. ':holds', id) == 1 then return {'held'} end
  local windows, names, seen, tightest, least = {}, {}, {}, 0, math.huge
  for at = 5, #args, 5 do
    local window = window_from(args, at)
    if now < window[3] or now >= window[4] then return {'clock', now} end
    local key, spent, held = account(epoch, window, now)
    if not key then return {'sums', window[3], spent} end
    local left = tonumber(args[at + 4]) - spent - held
    if left < least then tightest, least = (at - 5) / 5, left end
    if not seen[key] then
      seen[key] = true
      names[#names + 1], windows[#windows + 1] = key, window
    end
  end
  if amount > least then return {'exhausted', tightest, least, now} end
  for _, key in ipairs(names) do redis.call('HINCRBY', key, 'held', amount) end
  redis.call('HSET', root .. ':holds', id, cmsgpack.pack({amount, windows}))
  redis.call('ZADD', root .. ':leases', now_us() + args[4], id)
  return {'ok', now}
end

-- Money leaves `held` for `spent` in every window that the hold is counted in.
local function settle_hold(root, epoch, id, packed, nano_usd)
  local amount, windows = unpack(cmsgpack.unpack(packed))
  for _, window in ipairs(windows) do
    local key = key_of(epoch, window)
    if redis.call('EXISTS', key) == 1 then -- or its window is over for long
      redis.call('HINCRBY', key, 'held', 0 - amount) -- -0 would be sent as "-0"
      redis.call('HINCRBY', key, 'spent', nano_usd)
    end
  end
  forget_hold(root, id)
  remember_settled(root, epoch, id)
end

local function is_settled(root, epoch, id) return redis.call('GET', settled_key(root, id)) == epoch.id end

-- args: epoch, then id, nano_usd of each. An id that is not known is remembered if nothing is owed for it, so that a
-- hold whose making was given up and comes late is not made; if something is owed, its windows are wanted (`adopt`).
local function settle(keys, args)
  local root = keys[1]
  local epoch, problem = open_epoch(root, args[1])
  if not epoch then return {problem} end
  local outcomes = {'ok'}
  for at = 2, #args, 2 do
    local id, nano_usd = args[at], args[at + 1]
    local packed = redis.call('HGET', root .. ':holds', id)
    if is_settled(root, epoch, id) then
      outcomes[#outcomes + 1] = 'again'
    elseif packed then
      settle_hold(root, epoch, id, packed, nano_usd)
      outcomes[#outcomes + 1] = 'settled'
    else
      if tonumber(nano_usd) == 0 then remember_settled(root, epoch, id) end
      outcomes[#outcomes + 1] = 'unknown'
    end
  end
  return outcomes
end

-- For `adopt`. Adds to what was spent in those of its windows that are not over, in all or none; or the start of one whose
-- sums are wanted first, and the moment to read them after.
local function spend_more(epoch, args, now)
  local names = {}
  for at = 4, #args, 4 do
    local window = window_from(args, at)
    if now < window[4] then
      local key, since = account(epoch, window, now)
      if not key then return window[3], since end
      names[#names + 1] = key
    end
  end
  for _, key in ipairs(names) do redis.call('HINCRBY', key, 'spent', args[3]) end
end

-- args: epoch, id, nano_usd, then scope, per, starts, ends of each window. A call that is over: its hold is settled if it
-- is here; if it was lost, or was never made here, the sum is added to what was spent.
local function adopt(keys, args)
  local root, id = keys[1], args[2]
  local epoch, problem = open_epoch(root, args[1])
  if not epoch then return {problem} end
  if is_settled(root, epoch, id) then return {'again'} end
  local packed = redis.call('HGET', root .. ':holds', id)
  if packed then
    settle_hold(root, epoch, id, packed, args[3])
  else
    local untold, since = spend_more(epoch, args, window_us())
    if untold then return {'sums', untold, since} end
    remember_settled(root, epoch, id)
  end
  return {'ok'}
end

-- args: epoch, a process that is dead, prefix of the ids of holds that it had made for no call yet: these are let go
local function bury(keys, args)
  local root, prefix = keys[1], args[3]
  local epoch, problem = open_epoch(root, args[1])
  if not epoch then return {problem} end
  redis.call('ZREM', root .. ':living', args[2])
  redis.call('HDEL', epoch.counting, args[2])
  for _, id in ipairs(redis.call('HKEYS', root .. ':holds')) do
    if id:sub(1, #prefix) == prefix then settle_hold(root, epoch, id, redis.call('HGET', root .. ':holds', id), 0) end
  end
  return {'ok'}
end

-- args: epoch, id of the correction, nano_usd, then scope, per, starts, ends of each window. The ledger was corrected
-- before: a window whose sums have still to be read needs no telling.
local function correct(keys, args)
  local root = keys[1]
  local epoch, problem = open_epoch(root, args[1])
  if not epoch then return {problem} end
  if redis.call('EXISTS', settled_key(root, args[2])) == 1 then return {'again'} end
  local now = window_us()
  for at = 4, #args, 4 do
    local window = window_from(args, at)
    local key = now < window[4] and account(epoch, window, now)
    if key then redis.call('HINCRBY', key, 'spent', args[3]) end
  end
  remember_settled(root, epoch, args[2])
  return {'ok'}
end

-- args: epoch, then scope, per, starts, ends of each window; answers spent and held of each, or the time
local function standing(keys, args)
  local root, now = keys[1], window_us()
  local epoch, problem = open_epoch(root, args[1])
  if not epoch then return {problem} end
  local answer = {'ok', now}
  for at = 2, #args, 4 do
    local window = window_from(args, at)
    if now < window[3] or now >= window[4] then return {'clock', now} end
    local spent, held, opened = unpack(redis.call('HMGET', key_of(epoch, window), 'spent', 'held', 'opened'))
    local since = counted_since(epoch, window, now)
    if not opened or tonumber(opened) < since then spent = spent_before(epoch, window, since) end
    answer[#answer + 1], answer[#answer + 2] = tonumber(spent or 0), tonumber(held or 0)
  end
  return answer
end

-- args: lease_us, how many holds, their ids, then scope, admission id of each request under way.
-- What is not there any more stays away: it was settled, or has left, while this call was on its way.
local function renew(keys, args)
  local root = keys[1]
  local until_us, holds = now_us() + args[1], tonumber(args[2])
  for at = 3, 2 + holds do redis.call('ZADD', root .. ':leases', 'XX', until_us, args[at]) end
  for at = 3 + holds, #args, 2 do
    redis.call('ZADD', root .. ':under_way:' .. args[at], 'XX', until_us, args[at + 1])
    redis.call('PEXPIRE', root .. ':under_way:' .. args[at], math.ceil(args[1] / 1000))
  end
  return {'ok'}
end

-- args: how many at most. Holds whose lease has ended, longest ago first: id, amount, microseconds since. They stay
-- counted: the process behind them is dead or cut off, and its calls may have been billed.
local function orphans(keys, args)
  local root, now = keys[1], now_us()
  local answer = {'ok'}
  local ended = redis.call('ZRANGEBYSCORE', root .. ':leases', '-inf', now, 'WITHSCORES', 'LIMIT', 0, args[1])
  for at = 1, #ended, 2 do
    local packed = redis.call('HGET', root .. ':holds', ended[at])
    if packed then
      answer[#answer + 1], answer[#answer + 2] = ended[at], cmsgpack.unpack(packed)[1]
      answer[#answer + 1] = now - ended[at + 1]
    end
  end
  return answer
end

-- What is older than a minute, and what is later than now: the clock has been set back since.
local function forget_old(admitted, tokens, now)
  for _, range in ipairs({{'-inf', now - MINUTE_US}, {'(' .. text(now), '+inf'}}) do
    local old, sum = redis.call('ZRANGEBYSCORE', admitted, range[1], range[2]), 0
    if #old > 0 then
      for _, member in ipairs(old) do sum = sum + member:match(':(%d+)$') end
      redis.call('ZREMRANGEBYSCORE', admitted, range[1], range[2])
      redis.call('DECRBY', tokens, sum)
    end
  end
end

-- How long until enough of the last minute's tokens are a minute old for `asked`, at most `limit`, to fit.
local function room_in_us(admitted, used, asked, limit, now)
  local at, all = now, redis.call('ZRANGE', admitted, 0, -1, 'WITHSCORES')
  for index = 1, #all, 2 do
    if used + asked <= limit then break end
    used = used - all[index]:match(':(%d+)$')
    at = all[index + 1] + MINUTE_US
  end
  return at - now
end

-- Why the scope lets nobody in, or nil.
local function refusal(root, scope, asked, limits, now)
  local admitted, tokens = root .. ':admitted:' .. scope, root .. ':tokens:' .. scope
  forget_old(admitted, tokens, now)
  redis.call('ZREMRANGEBYSCORE', root .. ':under_way:' .. scope, '-inf', now)
  local under_way = redis.call('ZCARD', root .. ':under_way:' .. scope)
  if limits.concurrent and under_way >= limits.concurrent then return {'concurrent', under_way, 0} end
  local requests = redis.call('ZCARD', admitted)
  if limits.requests and requests >= limits.requests then
    local oldest = redis.call('ZRANGE', admitted, 0, 0, 'WITHSCORES')[2] or now
    return {'requests', requests, oldest + MINUTE_US - now}
  end
  local used = tonumber(redis.call('GET', tokens) or 0)
  if limits.tokens and used + asked > limits.tokens then
    if asked > limits.tokens then return {'never', used, 0} end
    return {'tokens', used, room_in_us(admitted, used, asked, limits.tokens, now)}
  end
end

-- args: epoch, id, tokens, lease_us, then scope, concurrent, requests, tokens of each scope; '' is no limit. Answers the
-- requests and the tokens of the last minute of each, with this one
local function admit(keys, args)
  local root, now = keys[1], now_us()
  local epoch, problem = open_epoch(root, args[1])
  if not epoch then return {problem} end
  local id, asked, lease_ms = args[2], tonumber(args[3]), math.ceil(args[4] / 1000)
  for at = 5, #args, 4 do
    local limits = {concurrent = tonumber(args[at + 1]), requests = tonumber(args[at + 2]), tokens = tonumber(args[at + 3])}
    local refused = refusal(root, args[at], asked, limits, now)
    if refused then return {refused[1], (at - 5) / 4, refused[2], refused[3]} end
  end
  local answer = {'ok', now}
  for at = 5, #args, 4 do
    local scope = args[at]
    redis.call('ZADD', root .. ':admitted:' .. scope, now, id .. ':' .. text(asked))
    local used = redis.call('INCRBY', root .. ':tokens:' .. scope, asked)
    answer[#answer + 1], answer[#answer + 2] = redis.call('ZCARD', root .. ':admitted:' .. scope), used
    redis.call('ZADD', root .. ':under_way:' .. scope, now + args[4], id)
    redis.call('PEXPIRE', root .. ':admitted:' .. scope, 2 * MINUTE_US / 1000)
    redis.call('PEXPIRE', root .. ':tokens:' .. scope, 2 * MINUTE_US / 1000)
    redis.call('PEXPIRE', root .. ':under_way:' .. scope, lease_ms)
  end
  return answer
end

-- args: id, tokens expected, tokens used, then the scopes
local function leave(keys, args)
  local root, since = keys[1], now_us() - MINUTE_US
  local expected, used = args[1] .. ':' .. args[2], args[1] .. ':' .. args[3]
  for at = 4, #args do
    local admitted = root .. ':admitted:' .. args[at]
    redis.call('ZREM', root .. ':under_way:' .. args[at], args[1])
    local at_us = redis.call('ZSCORE', admitted, expected)
    if at_us and tonumber(at_us) > since and used ~= expected then
      redis.call('ZREM', admitted, expected)
      redis.call('ZADD', admitted, at_us, used)
      redis.call('INCRBY', root .. ':tokens:' .. args[at], args[3] - args[2])
    end
  end
  return {'ok'}
end

-- Epochs. A state that cannot be believed is rebuilt under the lead of one process: `begin` starts a new epoch, every
-- process sees it (`beat`) and registers what it holds (`register`), the leader tells what the ledger says (`sums`) and
-- which of the registered reservations the ledger has already (`open`).

-- How long until a moment that was set at most `most` ahead; 0 if it is further, for the clock has been set back since.
local function left_us(until_us, most, now)
  local left = until_us - now
  return left > tonumber(most) and 0 or math.max(left, 0)
end

-- args: process, lease_us of the lead, how long a process counts as living that is not heard; answers lost, rebuilding or
-- open, then epoch, time, whether this process leads, for how long the quarantine lasts yet, and when the epoch is open
-- every process that lives
local function beat(keys, args)
  local root, now = keys[1], now_us()
  local epoch, state = believed(root)
  if not epoch then return {'lost', '', window_us(), 0, 0} end
  local leader, opens_at, quarantine = unpack(redis.call('HMGET', root .. ':epoch', 'leader', 'opens_at', 'quarantine'))
  local leads = leader == args[1] and 1 or 0
  if leads == 1 and state == 'rebuilding' then redis.call('HSET', root .. ':epoch', 'leads_until', now + args[2]) end
  local answer = {state, epoch.id, window_us(), leads, left_us(opens_at, quarantine, now)}
  if state == 'open' then
    for _, key in ipairs({epoch.counted, epoch.counting}) do redis.call('PEXPIRE', key, SUMS_KEPT_MS) end
    redis.call('ZADD', root .. ':living', now, args[1])
    redis.call('ZREMRANGEBYSCORE', root .. ':living', '-inf', now - args[3])
    for _, process in ipairs(redis.call('ZRANGE', root .. ':living', 0, -1)) do answer[#answer + 1] = process end
  end
  return answer
end

-- args: process. It ends in order, and holds nothing more.
local function farewell(keys, args)
  redis.call('ZREM', keys[1] .. ':living', args[1])
  local epoch = believed(keys[1])
  if epoch then redis.call('HDEL', epoch.counting, args[1]) end
  return {'ok'}
end

local function accounted_for(root, epoch) return root .. ':' .. epoch.id .. ':accounted_for' end

-- args: epoch, processes; answers those that have neither registered in it nor been found dead
local function absent(keys, args)
  local epoch = epoch_called(keys[1], args[1])
  if not epoch then return {'lost'} end
  local answer = {'ok'}
  for at = 2, #args do
    if redis.call('SISMEMBER', accounted_for(keys[1], epoch), args[at]) == 0 then answer[#answer + 1] = args[at] end
  end
  return answer
end

-- args: process, id for a new epoch, quarantine_us, lease_us of the lead
local function begin(keys, args)
  local root, now = keys[1], now_us()
  local epoch, state = believed(root)
  if epoch and state == 'open' then return {'open'} end
  if epoch then
    if left_us(redis.call('HGET', root .. ':epoch', 'leads_until'), args[4], now) > 0 then return {'rebuilding'} end
    redis.call('HSET', root .. ':epoch', 'leader', args[1], 'leads_until', now + args[4])
    return {'rebuilding'}
  end
  redis.call('DEL', root .. ':epoch', root .. ':recent')
  redis.call('HSET', root .. ':epoch', 'id', args[2], 'state', 'rebuilding', 'since', window_us(),
    'opens_at', now + args[3], 'quarantine', args[3], 'leader', args[1], 'leads_until', now + args[4], 'version', 0)
  begun[args[2]] = true
  return {'rebuilding'}
end

-- What is registered while the epoch is being rebuilt: it is weighed when the epoch opens.
local function register_for_rebuild(root, told, lease_us)
  for _, hold in ipairs(told.holds) do
    redis.call('DEL', settled_key(root, hold[1])) -- of an epoch whose answer its process never got
    redis.call('HSET', root .. ':holds', hold[1], cmsgpack.pack({hold[2], hold[3]}))
    redis.call('ZADD', root .. ':leases', now_us() + lease_us, hold[1])
  end
  for _, recent in ipairs(told.recent) do
    redis.call('HSET', root .. ':recent', recent[1], cmsgpack.pack({recent[2], recent[3]}))
  end
  redis.call('HINCRBY', root .. ':epoch', 'version', 1)
end

-- Whether the window has an account, or could be given one; and since when its purse is counted.
local function is_told(epoch, window, now)
  local since = counted_since(epoch, window, now)
  local opened = redis.call('HGET', key_of(epoch, window), 'opened')
  return opened and tonumber(opened) >= since or spent_before(epoch, window, since) ~= nil, since
end

-- The start of the first window whose sums have not been told and are needed, and the moment to read them after; or nil.
local function first_untold(epoch, entries, now)
  for _, entry in ipairs(entries) do
    for _, window in ipairs(entry[3]) do
      local told, since = is_told(epoch, window, now)
      if window[4] > now and not told then return window[3], since end
    end
  end
end

local function add(epoch, field, nano_usd, windows, now)
  for _, window in ipairs(windows) do
    if window[4] > now then redis.call('HINCRBY', (account(epoch, window, now)), field, nano_usd) end
  end
end

-- What comes after the epoch has opened, from a process that was cut off. Its settled sums are those the ledger did not
-- have just now, so that they cannot be in what it said before.
local function register_late(root, epoch, told, lease_us)
  local now = window_us()
  local untold, since = first_untold(epoch, told.holds, now)
  if not untold then untold, since = first_untold(epoch, told.recent, now) end
  if untold then return {'sums', untold, since} end
  for _, hold in ipairs(told.holds) do
    local id = hold[1]
    if not is_settled(root, epoch, id) and redis.call('HEXISTS', root .. ':holds', id) == 0 then
      redis.call('DEL', settled_key(root, id))
      redis.call('HSET', root .. ':holds', id, cmsgpack.pack({hold[2], hold[3]}))
      add(epoch, 'held', hold[2], hold[3], now)
    end
    if redis.call('HEXISTS', root .. ':holds', id) == 1 then redis.call('ZADD', root .. ':leases', now_us() + lease_us, id) end
  end
  for _, recent in ipairs(told.recent) do
    local id = recent[1]
    local packed = redis.call('HGET', root .. ':holds', id)
    if not is_settled(root, epoch, id) then
      if packed then
        local held = cmsgpack.unpack(packed)
        add(epoch, 'held', 0 - held[1], held[2], now)
        forget_hold(root, id)
      end
      add(epoch, 'spent', recent[2], recent[3], now)
      remember_settled(root, epoch, id)
    end
  end
  return {'open'}
end

-- args: epoch, lease_us, whether `recent` was compared with the ledger just now, as JSON
-- {holds: [[id, amount, windows]], recent: [[id, nano_usd, windows]], under_way: [[scope, admission id]], purses: []},
-- then the process itself and those that it has found dead
local function register(keys, args)
  local root, now = keys[1], now_us()
  local epoch, state = believed(root)
  if not epoch then return {state} end
  if epoch.id ~= args[1] then return {'unregistered'} end
  local told, lease_us, answer = cjson.decode(args[4]), tonumber(args[2]), {state}
  count(epoch, args[5], told.purses, window_us())
  if state == 'rebuilding' then
    register_for_rebuild(root, told, lease_us)
  elseif args[3] ~= '1' and #told.recent > 0 then
    return {'compare'}
  else
    answer = register_late(root, epoch, told, lease_us)
  end
  if answer[1] == 'rebuilding' then
    for at = 5, #args do redis.call('SADD', accounted_for(root, epoch), args[at]) end
    redis.call('PEXPIRE', accounted_for(root, epoch), KEPT_MS)
  end
  for _, pair in ipairs(told.under_way) do
    redis.call('ZADD', root .. ':under_way:' .. pair[1], now + lease_us, pair[2])
    redis.call('PEXPIRE', root .. ':under_way:' .. pair[1], math.ceil(lease_us / 1000))
  end
  return answer
end

-- args: epoch; answers the version of what is registered, and every reservation id in it
local function registered(keys, args)
  local root = keys[1]
  local epoch, state = epoch_called(root, args[1])
  if not epoch then return {'lost'} end
  local answer = {state, tonumber(redis.call('HGET', root .. ':epoch', 'version'))}
  for _, kind in ipairs({':holds', ':recent'}) do
    for _, id in ipairs(redis.call('HKEYS', root .. kind)) do answer[#answer + 1] = id end
  end
  return answer
end

local function keep_sums(key, args)
  redis.call('DEL', key)
  redis.call('HSET', key, '', args[3])
  for at = 4, #args, 2 do redis.call('HSET', key, args[at], args[at + 1]) end
  redis.call('PEXPIRE', key, SUMS_KEPT_MS)
end

-- args: epoch, start of a window, a moment before the ledger was read, then scope, nano_usd of each that has spent. While the epoch
-- is being rebuilt the last telling counts, once it is open the first; the latest counts for purses that are new.
local function sums(keys, args)
  local epoch, state = epoch_called(keys[1], args[1])
  if not epoch then return {'lost'} end
  local first, later = epoch.sums .. args[2], epoch.later .. args[2]
  if state == 'rebuilding' or redis.call('EXISTS', first) == 0 then keep_sums(first, args) end
  if state == 'open' and tonumber(redis.call('HGET', later, '') or 0) <= tonumber(args[3]) then
    keep_sums(later, args)
    local read_at = math.max(redis.call('HGET', epoch.key, 'read_at') or 0, args[3])
    redis.call('HSET', epoch.key, 'read_at', text(read_at))
  end
  return {'ok'}
end

-- args: epoch, process, purses that it counts now beside those it has registered
local function track(keys, args)
  local epoch, problem = open_epoch(keys[1], args[1])
  if not epoch then return {problem} end
  local purses = {}
  for at = 3, #args do purses[#purses + 1] = args[at] end
  count(epoch, args[2], purses, window_us())
  return {'ok'}
end

-- args: epoch, then scope, per, starts, ends of each window; answers the moment to read the ledger after, then the starts
-- of those whose sums are needed and have not been told
local function untold(keys, args)
  local epoch, now = epoch_called(keys[1], args[1]), window_us()
  if not epoch then return {'lost'} end
  local answer, latest_since = {'ok', 0}, 0
  for at = 2, #args, 4 do
    local window = window_from(args, at)
    local told, since = is_told(epoch, window, now)
    if not told then answer[#answer + 1], latest_since = window[3], math.max(latest_since, since) end
  end
  answer[2] = latest_since
  return answer
end

local function unpacked(root, kind)
  local all, entries = redis.call('HGETALL', root .. kind), {}
  for at = 1, #all, 2 do
    local amount, windows = unpack(cmsgpack.unpack(all[at + 1]))
    entries[#entries + 1] = {all[at], amount, windows}
  end
  return entries
end

-- args: epoch, version of what was registered, then the ids that are in the ledger, and so in its sums
local function open(keys, args)
  local root, now = keys[1], window_us()
  local epoch, state = epoch_called(root, args[1])
  if not epoch then return {'lost'} end
  if state == 'open' then return {'open'} end
  if redis.call('HGET', root .. ':epoch', 'version') ~= args[2] then return {'again'} end
  local recent, holds, is_booked = unpacked(root, ':recent'), unpacked(root, ':holds'), {}
  local missing = first_untold(epoch, recent, now) or first_untold(epoch, holds, now)
  if missing then return {'sums', missing} end
  for at = 3, #args do is_booked[args[at]] = true end
  local is_over = {}
  for _, entry in ipairs(recent) do
    is_over[entry[1]] = true
    if not is_booked[entry[1]] then add(epoch, 'spent', entry[2], entry[3], now) end
  end
  for _, entry in ipairs(holds) do
    if is_booked[entry[1]] then is_over[entry[1]] = true end
    if not is_over[entry[1]] then add(epoch, 'held', entry[2], entry[3], now) end
  end
  for id in pairs(is_over) do
    forget_hold(root, id)
    remember_settled(root, epoch, id)
  end
  redis.call('DEL', root .. ':recent')
  redis.call('HSET', root .. ':epoch', 'state', 'open')
  return {'open'}
end

redis.register_function('penstock_v3_reserve', reserve)
redis.register_function('penstock_v3_settle', settle)
redis.register_function('penstock_v3_adopt', adopt)
redis.register_function('penstock_v3_bury', bury)
redis.register_function('penstock_v3_correct', correct)
redis.register_function('penstock_v3_standing', standing)
redis.register_function('penstock_v3_renew', renew)
redis.register_function('penstock_v3_orphans', orphans)
redis.register_function('penstock_v3_admit', admit)
redis.register_function('penstock_v3_leave', leave)
redis.register_function('penstock_v3_beat', beat)
redis.register_function('penstock_v3_farewell', farewell)
redis.register_function('penstock_v3_absent', absent)
redis.register_function('penstock_v3_begin', begin)
redis.register_function('penstock_v3_register', register)
redis.register_function('penstock_v3_registered', registered)
redis.register_function('penstock_v3_sums', sums)
redis.register_function('penstock_v3_track', track)
redis.register_function('penstock_v3_untold', untold)
redis.register_function('penstock_v3_open', open)
