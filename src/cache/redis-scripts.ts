/**
 * What the cache asks of Redis, each one step that nothing can come between.
 *
 * An entry is text: `v` or `x` (expired), epoch, the position at its lease, the time of its lease, the number of its tags;
 * then one tag a line; then its payload. A tag is `removed at` and `expired at`, positions; a tag that is not there
 * counts as removed at the position where the store stands. `~head` is text: epoch, position, `floor` (the position before
 * which everything counts as removed), stamp and, where the journal is here as well, the run of the server that has told of it last;
 * with spaces between, so one MGET reads all that an entry is judged by.
 */

/** Where the store stands; an empty one begins an epoch of its own. Tags nobody has met for a week are forgotten. */
const place = `
local tag_ms = 604800000
local function stand(head, epoch, position, floor, stamp, run)
  redis.call('set', head, string.format('%s %d %d %s %s', epoch, position, floor, stamp, run))
end
local function place(head, fresh)
  local known = redis.call('get', head)
  if not known then
    stand(head, fresh, 0, 0, '-', '-')
    return fresh, 0, 0, '-', '-'
  end
  local epoch, position, floor, stamp, run = string.match(known, '^(%S+) (%d+) (%d+) (%S+) (%S+)$')
  return epoch, tonumber(position), tonumber(floor), stamp, run
end
`

/**
 * The run of the server: another one after each start, and on whoever is promoted. It may have less than the one before it has
 * told of; nothing else says so, for what was lost nobody remembers who has not heard of it. '-': this user may not ask.
 */
const run = `
local function run_now()
  local told = redis.pcall('info', 'server')
  return type(told) == 'string' and string.match(told, 'run_id:(%w+)') or '-'
end
`

/**
 * Begins an epoch where invalidations were lost, or may have been: nothing of before counts, and who has looked is not known. Where
 * the journal stands, as `place` tells it, of a server that goes on or that begins so.
 */
const journalPlace = `${place}${run}
local function begin(keys, fresh, position, server)
  stand(keys.head, fresh, position, position, fresh, server)
  redis.call('del', keys.seen, keys.looks, keys.log)
  if position > 0 then redis.call('xadd', keys.log, position .. '-0', 'stamp', fresh, 'verb', 'remove') end
  return fresh, position, position, fresh, server
end
local function journal_place(keys, fresh)
  local epoch, position, floor, stamp, known = place(keys.head, fresh)
  local server = run_now()
  if server == '-' or server == known then return epoch, position, floor, stamp, known end
  return begin(keys, fresh, position, server)
end
`

/** The clock of the server: only differences of it are used. */
const clock = `
local function now_ms()
  local now = redis.call('time')
  return now[1] * 1000 + math.floor(now[2] / 1000)
end
`

/** Whether tags let an entry pass that was leased at a position. Tags that were forgotten are noted. */
const standing = `
local function standing(prefix, tags, at, position)
  if #tags == 0 then return 'v' end
  local keys = {}
  for i, tag in ipairs(tags) do keys[i] = prefix .. '~tag:' .. tag end
  local known = redis.call('mget', unpack(keys))
  local result = 'v'
  for i = 1, #tags do
    local removed, expired
    if known[i] then
      removed, expired = string.match(known[i], '^(%d+) (%d+)$')
    else
      removed, expired = position, 0
      redis.call('set', keys[i], position .. ' 0', 'px', tag_ms)
    end
    if tonumber(removed) > at then return 'r' end
    if tonumber(expired) > at then result = 'x' end
  end
  return result
end
`

const invalidate = `
local function invalidate(prefix, position, verb, kind, name)
  if kind == 't' then
    local key = prefix .. '~tag:' .. name
    local known = redis.call('get', key)
    local removed, expired = position, 0
    if known then removed, expired = string.match(known, '^(%d+) (%d+)$') end
    if verb == 'remove' then removed = position else expired = position end
    redis.call('set', key, removed .. ' ' .. expired, 'px', tag_ms)
  else
    redis.call('del', prefix .. '~lease:' .. name, prefix .. '~failure:' .. name)
    if verb == 'remove' then redis.call('del', name)
    elseif redis.call('exists', name) == 1 then redis.call('setrange', name, 0, 'x') end
  end
end
`

/**
 * KEYS entry, lease, head, failure; ARGV prefix, fresh epoch, holder, lease ms, renew, waited ms, tags…
 *
 * A failure is text: epoch and position of the lease of its load, when that failed at the earliest, and what it failed with. It stands as
 * an entry would, and is told to who had begun to wait before it.
 */
export const readScript: string = `${place}${clock}${standing}
local epoch, position, floor = place(KEYS[3], ARGV[2])
local raw = redis.call('get', KEYS[1])
local now = now_ms()
local function failure()
  local waited = tonumber(ARGV[6])
  local mark = waited > 0 and redis.call('get', KEYS[4])
  if not mark then return {} end
  local its_epoch, at, failed_at, what = string.match(mark, '^(%S+) (%d+) (%d+) (.+)$')
  local age = now - tonumber(failed_at)
  -- Both clocks were read in whole milliseconds.
  if age + 1 > waited or its_epoch ~= epoch or tonumber(at) < floor then return {} end
  local tags = {}
  for i = 7, #ARGV do tags[#tags + 1] = ARGV[i] end
  if standing(ARGV[1], tags, tonumber(at), position) ~= 'v' then return {} end
  return {what, age}
end
local state, age, tags, payload, at = 'r', 0, {}, '', 0
if raw then
  local line = string.find(raw, '\\n', 1, true)
  local flag, its_epoch, position_at, leased_at, count =
    string.match(string.sub(raw, 1, line - 1), '^(.) (%S+) (%d+) (%d+) (%d+)$')
  at = tonumber(position_at)
  local from = line + 1
  for i = 1, tonumber(count) do
    local stop = string.find(raw, '\\n', from, true)
    tags[i] = string.sub(raw, from, stop - 1)
    from = stop + 1
  end
  if its_epoch == epoch and at >= floor then
    state = standing(ARGV[1], tags, at, position)
    if state == 'v' then state = flag end
  end
  if state ~= 'r' then
    age = now - tonumber(leased_at)
    payload = string.sub(raw, from)
  end
end
local leased, failed = 0, {}
if state == 'r' or ARGV[5] == '1' then
  failed = failure()
  local held = redis.call('get', KEYS[2])
  -- Of a lease of another epoch nothing would be stored: nobody waits for it.
  local free = not held or string.sub(held, 1, #ARGV[3]) == ARGV[3] or not string.find(held, ' ' .. epoch .. ' ', 1, true)
  if free and #failed == 0 and tonumber(ARGV[4]) > 0 then
    local lease = string.format('%s %s %d %.0f', ARGV[3], epoch, position, now)
    redis.call('set', KEYS[2], lease, 'px', ARGV[4])
    leased = 1
    for i = 7, #ARGV do redis.call('set', ARGV[1] .. '~tag:' .. ARGV[i], position .. ' 0', 'nx', 'px', tag_ms) end
  end
end
if state == 'r' then return {epoch, position, leased, now, failed} end
return {epoch, position, leased, now, failed, state, age, payload, tags, at}
`

/** KEYS entry, lease, head; ARGV prefix, fresh epoch, holder, keep ms, payload, tags… */
export const fillScript: string = `${place}${standing}
local held = redis.call('get', KEYS[2])
if not held then return 0 end
local holder, its_epoch, at, leased_at = string.match(held, '^(%S+) (%S+) (%d+) (%d+)$')
if holder ~= ARGV[3] then return 0 end
redis.call('del', KEYS[2])
local epoch, position, floor = place(KEYS[3], ARGV[2])
at = tonumber(at)
if its_epoch ~= epoch or at < floor then return 0 end
local tags = {}
for i = 6, #ARGV do tags[#tags + 1] = ARGV[i] end
if standing(ARGV[1], tags, at, position) ~= 'v' then return 0 end
local header = string.format('v %s %d %s %d\\n', epoch, at, leased_at, #tags)
local lines = #tags == 0 and '' or table.concat(tags, '\\n') .. '\\n'
redis.call('set', KEYS[1], header .. lines .. ARGV[5], 'px', ARGV[4])
return 1
`

/** KEYS lease; ARGV holder */
export const releaseScript = `
local held = redis.call('get', KEYS[1])
if held and string.sub(held, 1, #ARGV[1]) == ARGV[1] then redis.call('del', KEYS[1]) end
return 0
`

/** KEYS lease, failure; ARGV holder, keep ms, load ms, what it failed with */
export const failScript = `
local held = redis.call('get', KEYS[1])
if not held then return 0 end
local holder, epoch, at, leased_at = string.match(held, '^(%S+) (%S+) (%d+) (%d+)$')
if holder ~= ARGV[1] then return 0 end
redis.call('del', KEYS[1])
local failed_at = tonumber(leased_at) + tonumber(ARGV[3])
redis.call('set', KEYS[2], string.format('%s %s %.0f %s', epoch, at, failed_at, ARGV[4]), 'px', ARGV[2])
return 1
`

/** KEYS head; ARGV prefix, fresh epoch, since epoch, since position, to epoch, to position, everything, (position, verb, kind, name)… */
export const followScript: string = `${place}${invalidate}
local epoch, position, floor = place(KEYS[1], ARGV[2])
if epoch ~= ARGV[3] or position ~= tonumber(ARGV[4]) then return {epoch, position} end
for i = 8, #ARGV, 4 do invalidate(ARGV[1], ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]) end
if ARGV[7] == '1' then floor = ARGV[6] end
stand(KEYS[1], ARGV[5], ARGV[6], floor, '-', '-')
return {ARGV[5], tonumber(ARGV[6])}
`

/** KEYS head, log, seen, looks; ARGV prefix, fresh epoch, log length, stamp, verb, (kind, name)… */
export const appendScript: string = `${journalPlace}${invalidate}
local keys = {head = KEYS[1], log = KEYS[2], seen = KEYS[3], looks = KEYS[4]}
local epoch, position, floor, _, run = journal_place(keys, ARGV[2])
position = position + 1
stand(KEYS[1], epoch, position, floor, ARGV[4], run)
local fields = {'stamp', ARGV[4], 'verb', ARGV[5]}
for i = 6, #ARGV, 2 do
  invalidate(ARGV[1], position, ARGV[5], ARGV[i], ARGV[i + 1])
  fields[#fields + 1] = ARGV[i]
  fields[#fields + 1] = ARGV[i + 1]
end
redis.call('xadd', KEYS[2], 'maxlen', '~', ARGV[3], position .. '-0', unpack(fields))
redis.call('publish', ARGV[1] .. '~news', position)
return {epoch, position}
`

/**
 * KEYS head, log, seen, looks; ARGV fresh epoch, node, since or '', stamp of since, epoch of since.
 *
 * A stamp tells two invalidations of one position apart: a server that lost the last ones gives their positions again. Where that is
 * seen an epoch begins: entries that were invalidated by what is lost are here again.
 * What is noted as seen is what the node had taken in when it asked; one that looks for the first time has nothing.
 */
export const lookScript: string = `${journalPlace}${clock}
local keys = {head = KEYS[1], log = KEYS[2], seen = KEYS[3], looks = KEYS[4]}
local epoch, position, floor, stamp, run = journal_place(keys, ARGV[1])
local function look()
  if ARGV[3] == '' then return position, {} end
  local since = tonumber(ARGV[3])
  if since == position and stamp == ARGV[4] then return since, {} end
  local lost = since >= position
  if since < position then
    local news = redis.call('xrange', KEYS[2], ARGV[3] .. '-0', '+')
    local first = news[1] and news[1][1] == since .. '-0' and table.remove(news, 1)
    lost = first and first[2][2] ~= ARGV[4]
    local known = first or since == 0
    if known and not lost and since >= floor and news[1] and news[1][1] == (since + 1) .. '-0' then return since, news end
  end
  if lost and ARGV[5] == epoch then
    epoch, position, floor, stamp = begin(keys, ARGV[1], math.max(position, since), run)
  end
  return -1, {}
end
local seen, news = look()
redis.call('zadd', KEYS[3], 'nx', now_ms(), '~since')
redis.call('zadd', KEYS[3], seen, ARGV[2])
redis.call('zadd', KEYS[4], now_ms(), ARGV[2])
return {epoch, position, stamp, seen < 0 and 0 or 1, news}
`

/**
 * KEYS seen, head; ARGV position, lag ms. How many nodes have not come so far, or 1 where that is not known: what is noted of nodes
 * may have been forgotten, by a server that began anew, took over or had no room, so it counts only after every node has looked again.
 */
export const unseenScript: string = `${clock}${run}
local since = redis.call('zscore', KEYS[1], '~since')
if not since or now_ms() - tonumber(since) < tonumber(ARGV[2]) then return 1 end
local known, server = string.match(redis.call('get', KEYS[2]) or '', '(%S+)$'), run_now()
if server ~= '-' and server ~= known then return 1 end
return redis.call('zcount', KEYS[1], '-inf', '(' .. ARGV[1])`

/**
 * KEYS seen, looks; ARGV position, lag ms. Nobody waits any more for the nodes that have not come so far and have not looked for so
 * long: such a one answers nothing before it has looked, and is then noted again. One that has looked since goes on answering, though it
 * is noted with less: with what it had taken in before that look, or with a position of an epoch that began lower.
 */
export const leaveScript: string = `${clock}
local now = now_ms()
for _, node in ipairs(redis.call('zrangebyscore', KEYS[1], '-inf', '(' .. ARGV[1])) do
  -- When it looked may have been forgotten: then it has looked now.
  redis.call('zadd', KEYS[2], 'nx', now, node)
  if now - redis.call('zscore', KEYS[2], node) > tonumber(ARGV[2]) then
    redis.call('zrem', KEYS[1], node)
    redis.call('zrem', KEYS[2], node)
  end
end
return 0`

/** KEYS entry, head; ARGV prefix, fresh epoch, tags…: how an entry stands to tags that it does not bear itself. */
export const standingScript: string = `${place}${standing}
local epoch, position, floor = place(KEYS[2], ARGV[2])
local raw = redis.call('get', KEYS[1])
if not raw then return 'r' end
local its_epoch, at = string.match(raw, '^. (%S+) (%d+) ')
if its_epoch ~= epoch or tonumber(at) < floor then return 'r' end
local tags = {}
for i = 3, #ARGV do tags[#tags + 1] = ARGV[i] end
return standing(ARGV[1], tags, tonumber(at), position)
`
