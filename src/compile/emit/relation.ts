import type { ColumnType } from '../../model/view.ts'
import type { SortBy } from 'libpg-query'
import type { Assembly, Part } from './assemble.ts'
import { partOf, valueText } from './assemble.ts'
import type { BindFacts } from '../algebra/facts.ts'
import { freeIn } from '../algebra/references.ts'
import { movedText } from '../algebra/clock.ts'
import { determined, determinedCall } from '../algebra/determine.ts'
import { cutCondition, isWantedOrNull } from './cut.ts'
import { fromWithLooks, looksOf, withLooks } from './looks.ts'
import type { ColumnId, Expression } from '../algebra/expression.ts'
import type { Restriction } from './restriction.ts'
import { foundFirst, sameValue, wholeKey } from './restriction.ts'
import { isOfPeers, windowOrder } from '../syntax/functions.ts'
import { isNotNull, notNullIn } from '../algebra/nullability.ts'
import { sameExpression } from '../algebra/expression.ts'
import { columnIn, columnOf, fromItemText, replacedDeep, sqlOf } from '../algebra/expression.ts'
import type { Output, Relation, ScanTarget } from '../algebra/relation.ts'
import { clocksIn, columnsOf, isConstant, scansIn, targetName } from '../algebra/relation.ts'
import { sqlName } from '../syntax/sql-text.ts'

/** Which rows of a relation: those there are now, or what changed since the last refresh, with weights. */
export type Mode = 'new' | 'delta'

/** How what a query reads is called in SQL. */
export interface TargetNames {
  /** As an item of FROM, without alias; its columns in the order of the scan. */
  readonly rows: (target: ScanTarget) => string
  /** The variable with the changes, an array of rows with their weight last. */
  readonly changes: (target: ScanTarget) => string
  /** SQL that is true when there are changes: known to PostgreSQL when it plans. */
  readonly gate: (target: ScanTarget) => string
  /** Type of an expression over the columns of a relation. */
  readonly typeOf: (expression: Expression) => ColumnType
}

/** A statement being written: names given, and the changes of relations as queries of its WITH. */
export interface Statement {
  readonly names: TargetNames
  readonly facts: BindFacts
  readonly alias: () => string
  /** `name as (query)`, in order. */
  readonly ctes: (Part & { readonly name: string })[]
  /** What is left out of it when it runs; null for a statement that stands as it is. */
  readonly assembly: Assembly | null
  readonly deltas: Map<Relation, string>
  /** Writes the SELECT of what changed in a relation. */
  readonly deltaSelect: (statement: Statement, relation: Relation) => string
}

/** A statement with nothing in it. */
export function newStatement(
  names: TargetNames,
  facts: BindFacts,
  deltaSelect: Statement['deltaSelect'],
  assembly: Assembly | null = null,
): Statement {
  let last = 0
  const alias = (): string => {
    last += 1
    return `t${String(last)}`
  }
  return { names, facts, alias, ctes: [], assembly, deltas: new Map(), deltaSelect }
}

/** Lines of SQL moved to the right. */
export const indented = (sql: string, by = '  '): string =>
  `${by}${sql.replaceAll('\n', `\n${by}`)}`

/** An item of FROM that gives the columns of a relation by their ids, and weights (`alias.w`) unless the mode is `new`. */
export interface Item {
  readonly sql: string
  readonly alias: string
  readonly weighted: boolean
  /** SQL that is true when there may be rows: of changes, that there are any. */
  readonly gate: string | null
}

/** Writes a relation as an item of FROM. */
export function itemOf(statement: Statement, relation: Relation, mode: Mode): Item {
  const alias = statement.alias()
  const weighted = mode !== 'new' && !isConstant(relation)
  const columns = columnsOf(relation)
  const list = [...columns, ...(weighted ? ['w'] : [])].map((id) => sqlName(id)).join(', ')
  const gate = weighted ? gateOf(statement, relation) : null
  if (relation.kind === 'scan') {
    const { names } = statement
    const from =
      mode === 'delta'
        ? `unnest(${valueText(statement.assembly, names.changes(relation.of))})`
        : names.rows(relation.of)
    return { sql: `${from} as ${alias}${list === '' ? '' : ` (${list})`}`, alias, weighted, gate }
  }
  if (relation.kind === 'rows' && !weighted) return rowsItem(relation, alias)
  if (mode === 'delta' && weighted && !isInward(relation)) {
    return { sql: `${deltaOf(statement, relation)} as ${alias}`, alias, weighted, gate }
  }
  const select =
    mode === 'delta' && weighted
      ? statement.deltaSelect(statement, relation)
      : selectOf(statement, relation)
  const sql = `(\n${indented(select)}\n) as ${alias}`
  return { sql: isInward(relation) ? `lateral ${sql}` : sql, alias, weighted, gate }
}

function gateOf({ names }: Statement, relation: Relation): string {
  const gates = new Set([
    ...scansIn(relation).map(({ of }) => names.gate(of)),
    ...clocksIn(relation).map((clock) => movedText(clock)),
  ])
  return gates.size === 1 ? [...gates].join('') : `(${[...gates].join(' or ')})`
}

const isInward = (relation: Relation): boolean => freeIn(relation).size > 0

/** `a, b`; nothing for no columns. */
export const selectList = (columns: readonly ColumnId[]): string =>
  columns.map((id) => sqlName(id)).join(', ')

function rowsItem(relation: Extract<Relation, { kind: 'rows' }>, alias: string): Item {
  const list = relation.columns.map((id) => sqlName(id)).join(', ')
  // A function may refer to what stands before it; a query must say that it does.
  const lateral = 'RangeSubselect' in relation.item && isInward(relation) ? 'lateral ' : ''
  return {
    sql: `${lateral}${fromItemText(relation.item)} as ${alias} (${list})`,
    alias,
    weighted: false,
    gate: null,
  }
}

/** Parts of a select list, empty ones left out. */
export const joinList = (...parts: readonly string[]): string =>
  parts.filter((part) => part !== '').join(', ')

/** The changes of a relation as a query of WITH, written once however often it is used. */
function deltaOf(statement: Statement, relation: Relation): string {
  const known = statement.deltas.get(relation)
  if (known !== undefined) return known
  const name = `delta_${String(statement.deltas.size + 1)}`
  statement.deltas.set(relation, name)
  const sql = statement.deltaSelect(statement, relation)
  const { gate } = partOf(statement.assembly, [gateOf(statement, relation)], () => '')
  statement.ctes.push({ name, gate, sql })
  return name
}

/** Writes the SELECT of a relation as it is now; its columns are called by their ids. */
export function selectOf(statement: Statement, relation: Relation): string {
  switch (relation.kind) {
    case 'scan':
    case 'rows':
      return `select ${selectList(columnsOf(relation))} from ${itemOf(statement, relation, 'new').sql}`
    case 'product':
      return productSelect(statement, relation)
    case 'project': {
      const { sql } = itemOf(statement, relation.input, 'new')
      return `select ${outputList(relation.columns)}\nfrom ${sql}`
    }
    case 'moving': {
      const { sql } = itemOf(statement, relation.input, 'new')
      const list = joinList(selectList(columnsOf(relation.input)), outputList([relation.mark]))
      return `select ${list}\nfrom ${sql}`
    }
    case 'union':
      return relation.inputs
        .map((input) => {
          const { sql } = itemOf(statement, input, 'new')
          return `select ${renamedList(columnsOf(input), relation.columns)} from ${sql}`
        })
        .join('\nunion all\n')
    case 'outer': {
      const left = itemOf(statement, relation.left, 'new')
      const right = itemOf(statement, relation.right, 'new')
      const join = relation.full ? 'full join' : 'left join'
      return `select ${selectList(columnsOf(relation))}\nfrom ${left.sql}\n${join} ${right.sql}\n  on ${conditionText(relation.on)}`
    }
    case 'match': {
      const left = itemOf(statement, relation.left, 'new')
      return `select ${selectList(columnsOf(relation))}\nfrom ${left.sql}\nwhere ${relation.anti ? 'not ' : ''}${existsText(statement, relation)}`
    }
    case 'mark': {
      const left = itemOf(statement, relation.left, 'new')
      return `select ${[selectList(columnsOf(relation.left)), `${markText(statement, relation)} as ${sqlName(relation.id)}`].filter((part) => part !== '').join(', ')}\nfrom ${left.sql}`
    }
    default:
      return keyedSelect(statement, relation, null)
  }
}

/** `expression as id, …`. */
export const outputList = (columns: readonly Output[]): string =>
  columns
    .map(({ id, expression }) =>
      columnIn(expression) === id ? sqlName(id) : `${expressionText(expression)} as ${sqlName(id)}`,
    )
    .join(', ')

/** An expression as it can stand anywhere in a select list or a condition. */
export function expressionText(expression: Expression): string {
  const sql = sqlOf(expression)
  return columnIn(expression) === null && /\s/.test(sql) && !/^\w+\(/.test(sql) ? `(${sql})` : sql
}

const renamedList = (from: readonly ColumnId[], to: readonly ColumnId[]): string =>
  from
    .map((id, at) => (id === to[at] ? sqlName(id) : `${sqlName(id)} as ${sqlName(to[at] ?? id)}`))
    .join(', ')

/** Conditions joined by AND; true without any. */
export const conditionText = (conditions: readonly Expression[]): string =>
  conditions.length === 0
    ? 'true'
    : conditions.map((condition) => `(${sqlOf(condition)})`).join('\n  and ')

function productSelect(
  statement: Statement,
  { inputs, where }: Extract<Relation, { kind: 'product' }>,
): string {
  const items = inputs.map((input) => itemOf(statement, input, 'new').sql)
  const list = selectList(inputs.flatMap((input) => columnsOf(input)))
  return [
    `select ${list}`,
    ...(items.length === 0 ? [] : [`from ${items.join(',\n  ')}`]),
    ...(where.length === 0 ? [] : [`where ${conditionText(where)}`]),
  ].join('\n')
}

/** Whether there is a partner now. */
export function existsText(
  statement: Statement,
  { right, on }: { readonly right: Relation; readonly on: readonly Expression[] },
): string {
  const { sql } = itemOf(statement, right, 'new')
  return `exists (select from ${indented(sql).trimStart()}${on.length === 0 ? '' : `\n  where ${conditionText(on)}`})`
}

/** What a mark says now. */
export function markText(statement: Statement, mark: Extract<Relation, { kind: 'mark' }>): string {
  if (mark.test === 'exists') return existsText(statement, mark)
  const { sql } = itemOf(statement, mark.right, 'new')
  const test = conditionText(mark.on)
  return `(select case when count(*) filter (where ${test}) > 0 then true when count(*) filter (where (${test}) is null) > 0 then null else false end from ${indented(sql).trimStart()})`
}

interface Restricted {
  readonly input: Relation
  readonly key: readonly Expression[]
  readonly notNull: ReadonlySet<ColumnId>
}

/**
 * An input with only the rows whose key is wanted. Keys are compared as indexes of the user's can serve it; NULL,
 * which no index finds by `=`, is looked for apart, by hash, and only when a key with NULL is wanted.
 */
export function restrictedItem(
  statement: Statement,
  { input, key }: Pick<Restricted, 'input' | 'key'>,
  restriction: Restriction | null,
): string {
  if (restriction === null || key.length === 0) return itemOf(statement, input, 'new').sql
  const columns = selectList(columnsOf(input))
  const alias = statement.alias()
  const keyName = (at: number): string => `k."key ${String(at + 1)}"`
  const equal = key.map((expression, at) => {
    const { equality } = statement.names.typeOf(expression)
    const sign = equality === null || equality === 'pg_catalog.=' ? '=' : `operator(${equality})`
    return `${expressionText(expression)} ${sign} ${keyName(at)}`
  })
  const parts = key.map((expression, at) => ({
    sql: expressionText(expression),
    same: sameValue(expressionText(expression), keyName(at), statement.names.typeOf(expression)),
  }))
  const hash = `${hashText(parts.map(({ sql }) => sql))} = k.hash`
  const first = foundFirst({ input, key }, statement.names.typeOf)
  const found = first.length === 0 ? equal : wholeKey({ parts, first, hash }, restriction.values)
  const plain = `select ${columns}
from ${restriction.keys} as k,
  ${indented(itemOf(statement, input, 'new').sql).trimStart()}
where ${found.join('\n  and ')}`
  const notNull = notNullIn(input, statement.facts)
  if (key.every((expression) => isNotNull(expression, notNull))) {
    return `(\n${indented(plain)}\n) as ${alias}`
  }
  const hashed = `select ${columns}
from ${restriction.keysWithNull} as k,
  ${indented(itemOf(statement, input, 'new').sql).trimStart()}
where ${hash}
  and ${parts.map(({ same }) => same).join('\n  and ')}
  and ${restriction.gate}`
  return `(\n${indented(`${plain}\nunion all\n${hashed}`)}\n) as ${alias}`
}

/** A hash of a row by the equality of its types, NULLs being equal. */
export const hashText = (values: readonly string[]): string =>
  `hash_record_extended(row(${values.join(', ')}), 0)`

/** Writes the SELECT of a keyed relation, of the wanted keys only where a restriction is given. */
export function keyedSelect(
  statement: Statement,
  relation: Relation,
  restriction: Restriction | null,
): string {
  switch (relation.kind) {
    case 'aggregate':
      return aggregateSelect(statement, relation, restriction)
    case 'window':
      return windowSelect(statement, relation, restriction)
    case 'top':
      return topSelect(statement, relation, restriction)
    case 'set':
      return setSelect(statement, relation, restriction)
    case 'apply': {
      const key = (relation.by ?? []).map((id) => columnOf(id))
      const left = restrictedItem(statement, { input: relation.left, key }, restriction)
      const right = itemOf(statement, relation.right, 'new')
      return `select ${selectList(columnsOf(relation))}\nfrom ${left}\n${relation.outer ? 'left join' : 'join'} ${right.sql} on true`
    }
    case 'whole':
      return wholeSelect(statement, relation)
    case 'partition':
      return partitionSelect(statement, relation, restriction)
    default:
      throw new Error(`${relation.kind} is not keyed`)
  }
}

function aggregateSelect(
  statement: Statement,
  { input, keys, calls }: Extract<Relation, { kind: 'aggregate' }>,
  restriction: Restriction | null,
): string {
  const from = restrictedItem(
    statement,
    { input, key: keys.map(({ expression }) => expression) },
    restriction,
  )
  const { typeOf } = statement.names
  const named = keys.map(({ id, expression }) => ({
    id,
    of: expression,
    name: sqlName(`by_${id}`),
  }))
  const by = named.map(({ name }) => name)
  const looks = looksOf({ calls, by, typeOf })
  const list = [
    ...named.map(({ id, of, name }) => `${determined(name, typeOf(of))} as ${sqlName(id)}`),
    ...calls.map(({ id, expression }) => {
      const ordered = determinedCall(withLooks(looks, expression), typeOf)
      return `${sqlOf(ordered)} as ${sqlName(id)}`
    }),
  ]
  const lateral = named.map(({ of, name }) => `${expressionText(of)} as ${name}`)
  const keyed =
    lateral.length === 0 ? [] : [`cross join lateral (select ${lateral.join(', ')}) as k`]
  return [
    `select ${list.join(', ')}`,
    ...fromWithLooks(looks, {
      from: [`from ${from}`, ...keyed].join('\n'),
      kept: [...columnsOf(input).map((id) => sqlName(id)), ...by],
      alias: statement.alias,
    }),
    ...(by.length === 0 ? [] : [`group by ${by.join(', ')}`]),
  ].join('\n')
}

/** The whole row as text: a total order on rows, in which only rows that look alike are equal. */
export const rowText = (columns: readonly ColumnId[]): string =>
  `row(${selectList(columns)})::text collate "C"`

function windowSelect(
  statement: Statement,
  { input, partition, calls }: Extract<Relation, { kind: 'window' }>,
  restriction: Restriction | null,
): string {
  const from = restrictedItem(statement, { input, key: partition }, restriction)
  const columns = columnsOf(input)
  const own = calls.map(({ id, expression }) => `${sqlOf(expression)} as ${sqlName(id)}`)
  const select = [selectList(columns), ...own].filter((part) => part !== '').join(', ')
  if (calls.every(({ expression }) => isOfPeers(expression)))
    return `select ${select}\nfrom ${from}`
  // Rows that an order leaves equal are taken in the order of the text: one sort for each order of windows.
  const orders = calls.map(({ expression }) => windowOrder(expression))
  const [first = []] = orders
  const sorted = [
    // PostgreSQL sorts a partition in the direction that ORDER BY has for the same expression.
    ...partition.map((part) => {
      const item = first.find(({ node }) => node !== undefined && sameExpression(node, part))
      return item === undefined ? expressionText(part) : sortText(item)
    }),
    ...first.map((item) => sortText(item)),
    rowText(columns),
  ]
  const ordered = `(\n${indented(`select ${selectList(columns)}\nfrom ${from}\norder by ${sorted.join(', ')}`)}\n) as ${statement.alias()}`
  return `select ${select}\nfrom ${ordered}`
}

/** An item of ORDER BY as SQL. */
export function sortText(item: SortBy): string {
  const { node, sortby_dir, sortby_nulls, useOp } = item
  const expression = node === undefined ? '' : expressionText(node)
  const using =
    useOp === undefined
      ? ''
      : ` using ${sqlOf({ List: { items: useOp } }).replaceAll(/[()']/g, '')}`
  const direction = sortby_dir === 'SORTBY_DESC' ? ' desc' : ''
  const nulls =
    sortby_nulls === 'SORTBY_NULLS_FIRST'
      ? ' nulls first'
      : sortby_nulls === 'SORTBY_NULLS_LAST'
        ? ' nulls last'
        : ''
  return `${expression}${using}${direction}${nulls}`
}

function topSelect(
  statement: Statement,
  top: Extract<Relation, { kind: 'top' }>,
  restriction: Restriction | null,
): string {
  const { input, per, order, limit, offset, ties } = top
  const columns = columnsOf(input)
  const from = restrictedItem(statement, { input, key: per }, restriction)
  const list = selectList(columns)
  const sorts = order.map((item) => sortText(item))
  if (per.length === 0) {
    const bounds = [
      ...(offset === null ? [] : [`offset ${expressionText(offset)}`]),
      ...(limit === null
        ? []
        : [`fetch first (${sqlOf(limit)}) rows ${ties ? 'with ties' : 'only'}`]),
    ]
    const by = ties ? sorts : [...sorts, rowText(columns)]
    return `select ${list}\nfrom ${from}\norder by ${by.join(', ')}\n${bounds.join('\n')}`
  }
  // The first rows of each key: by number in its order.
  const partition = per.map((part) => expressionText(part)).join(', ')
  const by = ties ? sorts : [...sorts, rowText(columns)]
  const place = ties && offset === null ? 'rank' : 'row_number'
  const skipped = offset === null ? null : `coalesce(${expressionText(offset)}, 0)`
  const conditions = [
    `place > ${skipped ?? '0'}`,
    ...(limit === null ? [] : [`place <= ${lastPlace(skipped, expressionText(limit))}`]),
  ]
  const inner = `select ${list === '' ? '' : `${list}, `}${place}() over (partition by ${partition} order by ${by.join(', ')}) as place\nfrom ${from}`
  return `select ${list}\nfrom (\n${indented(inner)}\n) as ${statement.alias()}\nwhere ${conditions.join(' and ')}`
}

/** The place of the last row of a LIMIT behind an OFFSET: a constant where both are, or all rows would be numbered. */
const lastPlace = (skipped: string | null, limit: string): string =>
  skipped === null
    ? limit
    : // Together they may be more than a bigint holds.
      `least(${skipped}::numeric + ${limit}, 9223372036854775807)::bigint`

function setSelect(
  statement: Statement,
  { operation, all, left, right, columns }: Extract<Relation, { kind: 'set' }>,
  restriction: Restriction | null,
): string {
  const side = (input: Relation): string => {
    const key = columnsOf(input).map((id) => columnOf(id))
    return `select ${renamedList(columnsOf(input), columns)} from ${restrictedItem(statement, { input, key }, restriction)}`
  }
  const { typeOf } = statement.names
  const sides = `${side(left)}\n${operation} all\n${side(right)}`
  if (columns.every((id) => typeOf(columnOf(id)).imageEqual)) {
    return all ? sides : sides.replace(`\n${operation} all\n`, `\n${operation}\n`)
  }
  return countedSet(statement, { operation, all, left: side(left), right: side(right), columns })
}

interface CountedSet {
  readonly operation: 'intersect' | 'except'
  readonly all: boolean
  readonly left: string
  readonly right: string
  readonly columns: readonly ColumnId[]
}

/** Equal values may look different: of each row the look that comes first as text, so that it is always the same. */
function countedSet(
  statement: Statement,
  { operation, all, left, right, columns }: CountedSet,
): string {
  const { typeOf } = statement.names
  const times =
    operation === 'intersect'
      ? all
        ? 'least(count(*) filter (where side), count(*) filter (where not side))'
        : 'least(count(*) filter (where side), count(*) filter (where not side), 1)'
      : all
        ? 'count(*) filter (where side) - count(*) filter (where not side)'
        : 'case when bool_and(side) then 1 else 0 end'
  const shown = columns.map(
    (id) => `${determined(sqlName(id), typeOf(columnOf(id)))} as ${sqlName(id)}`,
  )
  const list = selectList(columns)
  return `select ${list}
from (
  select ${[...shown, `${times} as times`].join(', ')}
  from (
    select ${[list, 'true as side'].join(', ')} from (
${indented(left, '      ')}
    ) as ${statement.alias()}
    union all
    select ${[list, 'false'].join(', ')} from (
${indented(right, '      ')}
    ) as ${statement.alias()}
  ) as ${statement.alias()}
  group by ${list}
) as ${statement.alias()}, generate_series(1, times)`
}

/** The query over cut sources; where the cuts follow from the query, rows of other keys that come along are left out. */
function partitionSelect(
  statement: Statement,
  { input, by, cuts, proven, isTight }: Extract<Relation, { kind: 'partition' }>,
  restriction: Restriction | null,
): string {
  if (restriction === null) return selectOf(statement, input)
  const { names } = statement
  const rows = (target: ScanTarget): string => {
    const at = cuts.findIndex(({ name }) => target.kind !== 'stage' && target.name === name)
    const cut = cuts[at]
    if (cut === undefined) return names.rows(target)
    const condition = cutCondition(cut, at + 1, names.typeOf)
    return `(select * from ${names.rows(target)} where ${indented(condition).trimStart()})`
  }
  const select = selectOf({ ...statement, names: { ...names, rows } }, input)
  if (!proven || isTight) return select
  const wanted = isWantedOrNull(sqlName(by), names.typeOf(columnOf(by)))
  return `select *\nfrom (\n${indented(select)}\n) as ${statement.alias()}\nwhere ${wanted}`
}

function wholeSelect(
  statement: Statement,
  { query, reads, columns }: Extract<Relation, { kind: 'whole' }>,
): string {
  const { names } = statement
  const placeholder = (at: number): string => `tidemark table ${String(at)}`
  const text = sqlOf(
    replacedDeep(query, (node) => {
      if (!('RangeVar' in node) || node.RangeVar.schemaname === undefined) return undefined
      const { schemaname, relname = '', alias } = node.RangeVar
      const read = `${node.RangeVar.inh === true ? '' : 'only '}${schemaname}.${relname}`
      const at = reads.findIndex(({ of }) => of.kind !== 'stage' && targetName(of) === read)
      const scan = reads[at]
      if (scan === undefined) return undefined
      const own = alias?.colnames ?? []
      const colnames = scan.columns.map(
        ({ name }, place) => own[place] ?? { String: { sval: name } },
      )
      return {
        RangeVar: {
          relname: placeholder(at),
          inh: true,
          relpersistence: 'p',
          alias: {
            aliasname: alias?.aliasname ?? relname,
            ...(colnames.length === 0 ? {} : { colnames }),
          },
        },
      }
    }),
  )
  const bound = reads.reduce(
    (sql, { of }, at) => sql.replaceAll(sqlName(placeholder(at)), () => names.rows(of)),
    text,
  )
  const list = selectList(columns)
  return `select ${list} from (\n${indented(bound)}\n) as ${statement.alias()} (${list})`
}
