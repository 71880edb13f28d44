import type { PartitionWish } from '../compile/draft-partition.ts'
import { keyIn } from '../compile/draft-partition.ts'
import type { ReadView } from '../compile/emit/inputs.ts'
import type { Expression } from '../compile/algebra/expression.ts'
import { parseExpression } from '../compile/syntax/parse.ts'
import { canonicalise } from '../define/canonicalise.ts'
import type { ViewDeclaration } from '../model/declaration.ts'
import { TidemarkError } from '../model/errors.ts'
import type { RelationName } from '../model/ids.ts'
import type { Queryable } from '../postgres/connection.ts'
import { identifier, qualifiedName } from '../postgres/identifier.ts'

/**
 * By what a view is to be kept up partition by partition, its declared keys as the server understands them.
 * Throws `TIDEMARK_SQL_INVALID` or `TIDEMARK_NOT_PARTITIONED`, with the source, for a key that cannot be one.
 */
export async function partitionWish(
  transaction: Queryable,
  { name, partition, reads }: Pick<ViewDeclaration, 'name' | 'partition' | 'reads'>,
  inputs: readonly ReadView[],
): Promise<PartitionWish> {
  const keys = new Map<RelationName, Expression>()
  for (const [source, text] of partition?.sources ?? []) {
    const input = inputs.find((each) => each.name === source)
    keys.set(source, await declaredKey(transaction, { view: name, source, input, text }))
  }
  return { by: partition?.by ?? null, keys, reads }
}

interface DeclaredKey {
  readonly view: RelationName
  readonly source: RelationName
  /** The source, where it is a view that may not exist yet. */
  readonly input: ReadView | undefined
  readonly text: string
}

async function declaredKey(
  transaction: Queryable,
  { view, source, input, text }: DeclaredKey,
): Promise<Expression> {
  const place = `partition.sources.${source}`
  const refused = (what: string): TidemarkError =>
    new TidemarkError({
      code: 'TIDEMARK_NOT_PARTITIONED',
      what: `The partition key of ${source} ${what}`,
      mend: `Write an expression over the columns of ${source} alone that always gives the same, such as created_at::date.`,
      place,
    })
  if ((await parseExpression(text)) === undefined) throw refused('is not one expression')
  const from = input === undefined ? qualifiedName(source) : emptyRows(input)
  const query = await canonicalise(
    transaction,
    { name: view, sql: `select (${text}) as key from ${from}` },
    [],
  ).catch((error: unknown) => {
    if (!(error instanceof TidemarkError)) throw error
    const { code, what, mend } = error
    throw new TidemarkError({ code, what, mend, place, cause: error })
  })
  if (query.volatile || query.timeDependent) throw refused('changes by itself')
  if (query.opaqueFunctions.length > 0)
    throw refused(`calls ${query.opaqueFunctions.join(', ')}, which is not immutable`)
  if (query.sources.some(({ relation }) => relation !== source) || query.inputs.length > 0)
    throw refused('reads other tables')
  return keyIn(query.sql)
}

const emptyRows = ({ name, columns }: ReadView): string => {
  const list = columns.map((column) => `null::${column.type} as ${identifier(column.name)}`)
  return `(select ${list.join(', ')}) as ${identifier(name)}`
}
