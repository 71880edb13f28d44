import { createHash } from 'node:crypto'
import type { BoundEvent, CaptureWish } from '../model/capture.ts'
import { logsPairs, pairWeight } from '../model/capture.ts'
import type { ChangeKind } from '../model/declaration.ts'
import { changeKinds } from '../model/declaration.ts'
import type { RelationName } from '../model/ids.ts'
import { captureNames } from '../model/names.ts'
import { identifier, literal, qualified } from '../postgres/identifier.ts'
import { dollarQuoted } from './dollar-quoted.ts'
import { imageColumns } from './image.ts'

/** How the triggers of a source fire; see {@link firing}. */
export type Firing = 'statement' | 'row'

/**
 * Statement triggers with transition tables cost one call a statement, but only the table that a statement
 * names fires them. Row triggers fire whatever the statement names, are cloned to partitions that come later,
 * and are what the apply worker of logical replication fires.
 */
export function firing(wish: CaptureWish): Firing {
  const { kind, subscribed, child } = wish.shape
  return kind !== 'plain' || subscribed || child ? 'row' : 'statement'
}

/** The name of an event rule's condition as a function over an image of `source`. */
export const eventFunction = (source: RelationName, rule: string): string =>
  qualified('tidemark', captureNames.event(`${rule} on ${source}`))

/** The tables of a change log; a transaction writes to one of them. */
export const buckets = [0, 1, 2] as const

/** One of {@link buckets}. */
export type Bucket = (typeof buckets)[number]

/** Unquoted names of the functions of {@link createCaptureFunctions}. */
export const captureFunctions = (wish: CaptureWish): readonly string[] =>
  bodiesOf(wish).map(([name]) => name)

/**
 * The functions that the capture triggers of a source call.
 *
 * Guarantees: none fails for want of a captured column, but writes a gap where the holder is gone; it writes nothing when no
 * captured column changed its image; it assigns no transaction id where nothing was changed.
 * They have no exception block, which would cost a subtransaction in every statement. Their search path has the schema where
 * the image finds renamed columns.
 */
export function createCaptureFunctions(wish: CaptureWish): readonly string[] {
  return bodiesOf(wish).flatMap(([unquoted, body]) => {
    const name = qualified('tidemark', unquoted)
    return [
      `create or replace function ${name}() returns trigger
language plpgsql security definer set search_path = pg_catalog, tidemark, pg_temp
as ${dollarQuoted(`\n${body.join('\n')}\n`)}`,
      `revoke all on function ${name}() from public`,
    ]
  })
}

/** Statement triggers have a function for each kind of change: to ask which it is would cost each of them a tenth of the whole. */
function bodiesOf(wish: CaptureWish): readonly (readonly [name: string, body: Lines])[] {
  const { name } = wish.shape
  if (firing(wish) === 'row') return [[captureNames.trigger(name), rowBody(wish)]]
  const changes = changeKinds.filter((change) => change !== 'update' || seesUpdates(wish))
  return [
    [captureNames.trigger(name), truncateBody(wish)],
    ...changes.map(
      (change) => [captureNames.trigger(name, change), statementBody(wish, change)] as const,
    ),
  ]
}

/** Lines of PL/pgSQL. A name may hold a line break, so text is never cut into lines, only put together from them. */
type Lines = readonly string[]

/*
 * PL/pgSQL sets up each expression anew in every transaction, and the executor each node of a plan at every
 * call: that is nearly all that capture costs. So one number says all that has to be known first, few
 * comparisons follow, and what nearly always tells is asked before what always does. bench/README.md has the
 * figures.
 */

function statementBody(wish: CaptureWish, change: ChangeKind): Lines {
  const held = needsImage(wish, change) ? ` and ${isHeld(wish)}` : ''
  const arms = buckets.map((bucket) => ({
    condition: `${isTurn(bucket)}${held}`,
    lines: [
      ...(change === 'update'
        ? updateToLog(wish, logTable(wish, bucket))
        : rowsToLog(wish, logTable(wish, bucket), change)),
      ...statementEvents(wish, change),
    ],
  }))
  const gap = {
    condition: 'turn is not null',
    lines: [`insert into tidemark.gap (source, reason) values (${gapNote(wish).values});`],
  }
  return inTurn(wish, choice(held === '' ? arms : [...arms, gap], nothingChanged))
}

/** A TRUNCATE is not described row by row. */
const truncateToLog = (log: string): Lines => [`insert into ${log} (w) values (0);`]

const truncateBody = (wish: CaptureWish): Lines =>
  inTurn(
    wish,
    byBucket((bucket) => truncateToLog(logTable(wish, bucket))),
  )

/** A body that knows whose turn it is. */
const inTurn = (wish: CaptureWish, lines: Lines): Lines => [
  'declare',
  '  -- Null: the transaction has changed nothing so far, so neither has this statement.',
  `  turn bigint := txid_current_if_assigned() % ${xidsInRound};`,
  'begin',
  ...indented(lines),
  ...waking(wish),
  '  return null;',
  'end',
]

function rowBody(wish: CaptureWish): Lines {
  return [
    'declare',
    `  turn bigint := txid_current() % ${xidsInRound};`,
    '  before record;',
    '  after record;',
    '  place text;',
    '  noted boolean;',
    'begin',
    ...indented(byBucket((bucket) => byChange(wish, logTable(wish, bucket)))),
    ...waking(wish),
    '  return null;',
    'end',
  ]
}

/** Transactions in a row that write to one bucket; then it is the next one's turn. */
const xidsInTurn = 2 ** 14
const xidsInRound = xidsInTurn * buckets.length

/** Otherwise it is nobody's turn. */
const nothingChanged: Lines = ['return null;']

/** In their order; the same bucket as `(xid >> 14) % 3`, told by fewer operators. */
const isTurn = (bucket: Bucket): string => `turn < ${xidsInTurn * (bucket + 1)}`

function byBucket(lines: (bucket: Bucket) => Lines): Lines {
  const arms = buckets.map((bucket) => ({
    condition: isTurn(bucket),
    lines: lines(bucket),
  }))
  return choice(arms, nothingChanged)
}

/** The function of a sequence: one that is read as a table would cost a query in every statement. */
const waking = (wish: CaptureWish): Lines =>
  wish.wakes
    ? [
        '  -- Read past every snapshot: also a writer of REPEATABLE READ sees that the engine has lain down.',
        "  if pg_sequence_last_value('tidemark.asleep') = 2 then perform tidemark.wake(); end if;",
      ]
    : []

/** What happens to a row on each kind of change. */
function byChange(wish: CaptureWish, log: string): Lines {
  const arms = changeKinds.map((change) => {
    const is = `tg_op = '${change.toUpperCase()}'`
    return {
      condition: needsImage(wish, change) ? `${is} and ${isHeld(wish)}` : is,
      lines: rowArm(wish, log, change),
    }
  })
  const truncate = { condition: `tg_op = 'TRUNCATE'`, lines: truncateToLog(log) }
  return choice([...arms, truncate], oncePerTransaction(gapNote(wish)))
}

/** Where the image is needed and this does not hold, a gap is left; an insert or a delete can be marked without it. */
const isHeld = (wish: CaptureWish): string => `to_regproc(${literal(holderName(wish))}) is not null`

const needsImage = (wish: CaptureWish, change: ChangeKind): boolean =>
  hasImage(wish) &&
  (wish.mode === 'rows' ||
    (change === 'update' && !wish.cached) ||
    eventsOn(wish, change).length > 0)

/** The transition table that has what a change left, or took away. */
const rowsOf = (change: ChangeKind): string => (change === 'delete' ? 'old_rows' : 'new_rows')

/** A row of the log that says: something changed. */
const mark = 'pg_current_xact_id(), 0::smallint'

function rowsToLog(wish: CaptureWish, log: string, change: ChangeKind): Lines {
  const rows = rowsOf(change)
  // The columns of the log as they are: else the limit would be a subquery to scan.
  if (wish.mode === 'marks')
    return [`insert into ${log} (xid, w) select ${mark} from ${rows} limit 1;`]
  const weight = change === 'delete' ? -1 : 1
  if (!hasImage(wish)) return [`insert into ${log} (w) select ${weight} from ${rows};`]
  return [
    `insert into ${log} (w${fieldList(wish)})`,
    `select ${weight}${fieldsOf(wish, 's.image')}`,
    `from (select ${imageCall(wish, 'row(r.*)')} as image from ${rows} r${fence(wish)}) s;`,
  ]
}

function updateToLog(wish: CaptureWish, log: string): Lines {
  if (!seesUpdates(wish)) return []
  if (wish.mode === 'marks') {
    const compared = wish.cached ? wholeRow : imageCall(wish, 'row(r.*)')
    const first = (rows: string): string => `(select ${compared} from ${rows} r limit 1)`
    return [
      // The first pair tells nearly always; the rest is looked at only when it does not.
      `insert into ${log} (xid, w)`,
      `select ${mark} where ${first('old_rows')} *<> ${first('new_rows')};`,
      'if not found then',
      '  if exists (select from new_rows offset 1) then',
      `    insert into ${log} (xid, w) select ${mark} from (`,
      ...indented(indented(changedPairs(wish, { which: 'many', whole: wish.cached }))),
      '    ) p limit 1;',
      '  end if;',
      'end if;',
    ]
  }
  if (logsPairs(wish.shape))
    return oneOrMany((which) => [
      `insert into ${log} (w${fieldList(wish)}${beforeList(wish)})`,
      `select ${pairWeight}${fieldsOf(wish, 'p.after')}${fieldsOf(wish, 'p.before')}`,
      'from (',
      ...changedPairs(wish, { which, whole: wish.cached }),
      ') p;',
    ])
  return oneOrMany((which) => [
    `insert into ${log} (w${fieldList(wish)})`,
    `select e.w${fieldsOf(wish, 'e.image')}`,
    'from (',
    ...changedPairs(wish, { which, whole: wish.cached }),
    ') p',
    'cross join lateral (values (-1, p.before), (1, p.after)) e (w, image)',
    'where e.image is distinct from null;',
  ])
}

function statementEvents(wish: CaptureWish, change: ChangeKind): Lines {
  const events = eventsOn(wish, change)
  if (events.length === 0) return []
  if (change !== 'update') {
    const rows = rowsOf(change)
    const matches = events.map(({ rule }, at) => {
      const matched = `${eventFunction(wish.shape.name, rule)}(${imageCall(wish, 'row(r.*)')})`
      const select = `select ${literal(rule)} where exists (select from ${rows} r where ${matched})`
      return at === 0 ? select : `union all ${select}`
    })
    return ['insert into tidemark.event (rule)', ...matches, ';']
  }
  const candidates = events.map(({ rule }, at) => `(${literal(rule)}, p.match_${at})`)
  return oneOrMany((which) => [
    'insert into tidemark.event (rule)',
    'select distinct e.rule from (',
    ...changedPairs(wish, { which, whole: false, events }),
    `) p cross join lateral (values ${candidates.join(', ')}) e (rule, matched)`,
    'where e.matched;',
  ])
}

type Which = 'one' | 'many'

/** All columns that the table has by now. */
const wholeRow = 'row(r.*)::record'

interface Pairs {
  readonly which: Which
  /** Rows that differ in any column, not in their image alone. */
  readonly whole: boolean
  readonly events?: readonly BoundEvent[]
}

/**
 * Old and new rows of an update whose images differ: `before, after, match_0 …`. Many rows are paired by
 * their place, and there are as many of one as of the other: each updated row puts one into both tables, but where it moves
 * to another partition, and those have row triggers. Whatever the pairing, what it leaves out has equal images on both sides, so
 * the difference of the two bags is right. `*<>` compares what is stored: 1.0 and 1.00 differ, and json can be compared.
 * A full join cannot become a nested loop, which for many rows would take their square.
 */
function changedPairs(wish: CaptureWish, { which, whole, events = [] }: Pairs): Lines {
  const image = needsImage(wish, 'update') ? imageCall(wish, 'row(r.*)') : wholeRow
  const matches = events.map(
    ({ rule }, at) =>
      `, ${eventFunction(wish.shape.name, rule)}(${imageCall(wish, 'row(r.*)')}) as match_${at}`,
  )
  const side = (rows: string, extra: string): string => {
    const place = which === 'one' ? '' : 'row_number() over () as place, '
    return `(select ${place}${image} as image${whole ? `, ${wholeRow} as whole` : ''}${extra} from ${rows} r)`
  }
  return [
    `  select o.image as before, n.image as after${matches.map((_, at) => `, n.match_${at}`).join('')}`,
    `  from ${side('old_rows', '')} o`,
    `  ${which === 'one' ? 'cross join' : 'full join'} ${side('new_rows', matches.join(''))} n`,
    ...(which === 'one' ? [] : ['  using (place)']),
    `  where (o.${whole ? 'whole' : 'image'} *<> n.${whole ? 'whole' : 'image'}) is not false${fence(wish)}`,
  ]
}

/** Fields of an image beyond which it is computed before they are read, and not once for each of them. */
const fieldsAtOnceMax = 16

/**
 * The planner puts the image in place of each field of it that a query reads, and simplifies each: the cube of their number, which is
 * 1.2 s for the first update in a session of a table with 100 columns. A fence keeps it from that; where fields are few, it
 * would cost more than it saves.
 */
const fence = (wish: CaptureWish): string =>
  imageColumns(wish).length > fieldsAtOnceMax ? ' offset 0' : ''

/** Asked by a statement of its own: an expression with a subquery in it costs a quarter more. */
const oneOrMany = (lines: (which: Which) => Lines): Lines => [
  'perform from new_rows offset 1 limit 1;',
  ...choice([{ condition: 'found', lines: lines('many') }], lines('one')),
]

function rowArm(wish: CaptureWish, log: string, change: ChangeKind): Lines {
  if (change === 'update' && !seesUpdates(wish)) return []
  // Images go through variables: an expression that used one twice would compute it twice.
  const images = rowImages[change]
  const set = images.map(({ image, row }) => `${image} := ${imageCall(wish, row)};`)
  const lines = [
    ...rowToLog(wish, log, change),
    ...rowEvents(wish, change, change === 'delete' ? 'old' : 'new'),
  ]
  if (change === 'update') {
    if (!wish.cached) return [...set, 'if before *<> after then', ...indented(lines), 'end if;']
    const events = rowEvents(wish, change, 'new')
    return [
      'if old *<> new then',
      ...indented([
        ...(needsImage(wish, change) ? set : []),
        ...rowToLog(wish, log, change),
        ...(events.length === 0
          ? []
          : ['if before *<> after then', ...indented(events), 'end if;']),
      ]),
      'end if;',
    ]
  }
  return wish.mode === 'rows' && hasImage(wish) ? [...set, ...lines] : lines
}

const before = { w: -1, row: 'old', image: 'before' }
const after = { w: 1, row: 'new', image: 'after' }
const rowImages = { insert: [after], delete: [before], update: [before, after] }

function rowToLog(wish: CaptureWish, log: string, change: ChangeKind): Lines {
  if (wish.mode === 'marks') {
    return oncePerTransaction({
      setting: settingOf(`mark ${wish.shape.name}`),
      table: log,
      columns: 'w',
      values: '0',
      mine: 'true',
    })
  }
  const fields = (image: string): string =>
    imageColumns(wish)
      .map(({ column }) => `, ${image}.${identifier(column)}`)
      .join('')
  if (change === 'update' && logsPairs(wish.shape)) {
    const pair = `${pairWeight}${fields('after')}${fields('before')}`
    return [`insert into ${log} (w${fieldList(wish)}${beforeList(wish)}) values (${pair});`]
  }
  const rows = rowImages[change].map(({ w, image }) => `(${w}${fields(image)})`)
  return [`insert into ${log} (w${fieldList(wish)}) values ${rows.join(', ')};`]
}

function rowEvents(wish: CaptureWish, change: ChangeKind, row: string): Lines {
  return eventsOn(wish, change).flatMap(({ rule }) => [
    `if ${eventFunction(wish.shape.name, rule)}(${imageCall(wish, row)}) then`,
    ...indented(
      oncePerTransaction({
        setting: settingOf(`event ${rule}`),
        table: 'tidemark.event',
        columns: 'rule',
        values: literal(rule),
        mine: `t.rule = ${literal(rule)}`,
      }),
    ),
    'end if;',
  ])
}

/** A row that a transaction writes once. */
interface Note {
  /** Where the transaction remembers the place of its row. */
  readonly setting: string
  readonly table: string
  readonly columns: string
  readonly values: string
  /** That row `t` is the one noted, beside being of this transaction. */
  readonly mine: string
}

/**
 * Writes one row in each transaction, however many rows a row trigger sees: a local setting remembers where
 * it lies, and forgets it when the savepoint is rolled back that the row was written under. The setting is
 * only a hint, which anybody may forge: the row counts when it is there.
 */
function oncePerTransaction(note: Note): Lines {
  const { setting, table, columns, values, mine } = note
  return [
    `place := current_setting(${literal(setting)}, true);`,
    "noted := coalesce(place ~ '^\\([0-9]{1,9},[0-9]{1,4}\\)$', false);",
    'if noted then',
    `  noted := exists (select from ${table} t`,
    `    where t.ctid = place::tid and t.xid = pg_current_xact_id() and ${mine});`,
    'end if;',
    'if not noted then',
    `  insert into ${table} as t (${columns}) values (${values})`,
    '  returning t.ctid::text into place;',
    `  perform set_config(${literal(setting)}, place, true);`,
    'end if;',
  ]
}

function gapNote(wish: CaptureWish): Note {
  const source = wish.shape.name
  const reason = `column_dropped: a captured column of ${source} was dropped; run tidemark plan`
  return {
    setting: settingOf(`gap ${source}`),
    table: 'tidemark.gap',
    columns: 'source, reason',
    values: `${literal(source)}, ${literal(reason)}`,
    mine: `t.source = ${literal(source)}`,
  }
}

/** Names of settings are words; any text becomes one by its digest. */
const settingOf = (text: string): string =>
  `tidemark.at_${createHash('sha256').update(text).digest('hex').slice(0, 16)}`

const eventsOn = (wish: CaptureWish, change: ChangeKind): readonly BoundEvent[] =>
  wish.events.filter(({ on }) => on.includes(change))

const hasImage = (wish: CaptureWish): boolean => imageColumns(wish).length > 0

/** Whether an update can change what is captured. */
export const seesUpdates = (wish: CaptureWish): boolean => hasImage(wish) || wish.cached

const holderName = (wish: CaptureWish): string =>
  qualified('tidemark', captureNames.holder(wish.shape.name))

const imageCall = (wish: CaptureWish, row: string): string =>
  `${qualified('tidemark', captureNames.image(wish.shape.name))}(${row})`

const fieldList = (wish: CaptureWish): string =>
  imageColumns(wish)
    .map(({ logged }) => `, ${identifier(logged)}`)
    .join('')

const beforeList = (wish: CaptureWish): string =>
  imageColumns(wish)
    .map((column) => `, ${identifier(column.before)}`)
    .join('')

const fieldsOf = (wish: CaptureWish, image: string): string =>
  imageColumns(wish)
    .map(({ column }) => `, (${image}).${identifier(column)}`)
    .join('')

const logTable = (wish: CaptureWish, bucket: Bucket): string =>
  qualified('tidemark', captureNames.log(wish.shape.name, bucket))

function choice(
  arms: readonly { readonly condition: string; readonly lines: Lines }[],
  otherwise: Lines,
): Lines {
  const written = arms.flatMap(({ condition, lines }, at) => [
    `${at === 0 ? 'if' : 'elsif'} ${condition} then`,
    ...indented(lines.length === 0 ? ['null;'] : lines),
  ])
  return [...written, 'else', ...indented(otherwise), 'end if;']
}

const indented = (lines: Lines): Lines => lines.map((line) => `  ${line}`)
