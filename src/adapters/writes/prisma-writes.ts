import type { RowPart, TableWrite } from '../../invalidate/table-write.ts'
import { known, updatedRows } from './row-parts.ts'

/** A model of Prisma, as its client knows it. */
export interface PrismaModel {
  readonly dbName?: string | null
  readonly schema?: string | null
  readonly fields: readonly PrismaField[]
}

interface PrismaField {
  readonly name: string
  /** `object`: a relation. */
  readonly kind: string
  readonly type: string
  readonly dbName?: string | null
  readonly relationName?: string | null
}

/** The models of a client, by name. */
export type PrismaModels = Readonly<Record<string, PrismaModel>>

/** A call of a model; its result is null where it has failed. */
export interface PrismaCall {
  readonly model: string
  readonly operation: string
  readonly args: unknown
  readonly result: unknown
}

type Fields = Readonly<Record<string, unknown>>

/** The arguments of calls that write. */
interface WriteArguments {
  readonly where?: unknown
  readonly data?: unknown
  readonly create?: unknown
  readonly update?: unknown
}

/** What a call wrote: the rows of its model, and of each model that is written within it, which rows is not known. */
export function writesOf(models: PrismaModels, call: PrismaCall): TableWrite[] {
  const { model: name, args, result } = call
  const model = models[name]
  const rows = model === undefined ? null : rowsOf(model, call)
  if (model === undefined || rows === null || (isFields(result) && result['count'] === 0)) return []
  const { data, create, update } = argumentsOf(args)
  const within = new Set<string>()
  for (const written of [data, create, update]) addRelated(models, name, { value: written, within })
  const related = [...within].map((table) => ({ table, rows: null, columns: null }))
  return [{ table: tableOf(name, model), model: name, ...rows }, ...related]
}

function rowsOf(
  model: PrismaModel,
  { operation, args, result }: PrismaCall,
): Pick<TableWrite, 'rows' | 'columns'> | null {
  const { where, data, update } = argumentsOf(args)
  switch (operation) {
    case 'create':
      return { rows: [{ ...given(model, data), ...columnsOf(model, result) }], columns: null }
    case 'createMany':
      return { rows: [data].flat().map((each) => given(model, each)), columns: null }
    case 'createManyAndReturn':
      return { rows: listed(result)?.map((row) => columnsOf(model, row)) ?? null, columns: null }
    case 'update':
    case 'updateMany':
      return updated(model, { where, data, result: isCount(result) ? null : [result] })
    case 'updateManyAndReturn':
      return updated(model, { where, data, result: listed(result) })
    case 'upsert':
      return { ...updated(model, { where, data: update, result: [result] }), columns: null }
    case 'delete':
    case 'deleteMany':
      return { rows: [{ ...given(model, where), ...columnsOf(model, result) }], columns: null }
    default:
      return null
  }
}

interface Update {
  readonly where: unknown
  readonly data: unknown
  /** The rows as they are; null: the call does not return them. */
  readonly result: readonly unknown[] | null
}

function updated(
  model: PrismaModel,
  { where, data, result }: Update,
): { readonly rows: readonly RowPart[]; readonly columns: readonly string[] | null } {
  const set = setBy(model, data)
  const returned = result?.map((row) => columnsOf(model, row)) ?? null
  const [before, after] = [given(model, where), given(model, data)]
  return { rows: updatedRows({ set, before, given: after, returned }), columns: set }
}

/** The columns that an update sets; null where it sets relations, for which ones these are kept in is not said. */
function setBy({ fields }: PrismaModel, data: unknown): string[] | null {
  const names = isFields(data) ? Object.keys(data) : []
  const set = fields.filter(({ name }) => names.includes(name))
  return set.some(({ kind }) => kind === 'object') ? null : set.map(columnOf)
}

/** What arguments say of a row: the columns that they give one value, or ask to equal one. */
function given({ fields }: PrismaModel, args: unknown): RowPart {
  if (!isFields(args)) return {}
  const found = Object.entries(args).flatMap(([name, value]): [string, unknown][] => {
    const field = fields.find((each) => each.name === name)
    if (field !== undefined) return isPlain(field) ? [[columnOf(field), single(value)]] : []
    // A unique key of several columns has a name of its own.
    const isKey = isFields(value) && !['AND', 'OR', 'NOT'].includes(name)
    return isKey ? Object.entries(given({ fields }, value)) : []
  })
  return known(found)
}

/** What a call has returned of a row. */
function columnsOf({ fields }: PrismaModel, row: unknown): RowPart {
  if (!isFields(row)) return {}
  return known(fields.filter(isPlain).map((field) => [columnOf(field), row[field.name]]))
}

function single(value: unknown): unknown {
  if (!isFields(value)) return value
  const [[operation, of] = [], ...more] = Object.entries(value)
  return more.length === 0 && (operation === 'equals' || operation === 'set') ? of : undefined
}

/** Adds the tables of models that are written within a write, and those that link them. */
function addRelated(
  models: PrismaModels,
  name: string,
  { value, within }: { readonly value: unknown; readonly within: Set<string> },
): void {
  const model = models[name]
  if (model === undefined || typeof value !== 'object' || value === null) return
  for (const [key, inner] of Object.entries(value)) {
    const field = model.fields.find((each) => each.name === key && each.kind === 'object')
    const related = field === undefined ? undefined : models[field.type]
    if (field !== undefined && related !== undefined) {
      within.add(tableOf(field.type, related))
      within.add(`_${field.relationName ?? ''}`)
    }
    addRelated(models, field?.type ?? name, { value: inner as unknown, within })
  }
}

const tableOf = (name: string, { dbName, schema }: PrismaModel): string =>
  schema == null ? (dbName ?? name) : `${schema}.${dbName ?? name}`

const columnOf = ({ name, dbName }: PrismaField): string => dbName ?? name

const isPlain = ({ kind }: PrismaField): boolean => kind === 'scalar' || kind === 'enum'

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isCount = (value: unknown): boolean =>
  isFields(value) && Object.keys(value).join() === 'count'

const listed = (value: unknown): readonly unknown[] | null => (Array.isArray(value) ? value : null)

const argumentsOf = (args: unknown): WriteArguments => (isFields(args) ? args : {})
