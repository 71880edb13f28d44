import { argumentsOf } from '../algebra/accumulate.ts'
import type { Statement } from './relation.ts'
import { expressionText, itemOf, keyedSelect, selectOf } from './relation.ts'
import type { StageContext } from './stored-stage.ts'
import { statementOf } from './stored-stage.ts'
import type { Expression } from '../algebra/expression.ts'
import { sqlName } from '../syntax/sql-text.ts'
import type { Stage } from '../algebra/stages.ts'
import { inputKeys } from '../algebra/stages.ts'
import { isRecord } from '../syntax/whole-row.ts'

/** Types are asked for of these: the SELECT that gives them, and what each column of it is. */
export interface TypeProbe {
  readonly sql: string
  readonly expressions: readonly Expression[]
}

/** The expressions of a stage whose types decide how it is written. */
export function probesOf(context: StageContext, stage: Stage): readonly TypeProbe[] {
  const probes: TypeProbe[] = []
  const ask = (all: readonly Expression[], from: (statement: Statement) => string): void => {
    // No column can be a row without a type of its own; nothing is promised of one.
    const expressions = all.filter((expression) => !isRecord(expression))
    if (expressions.length === 0) return
    const statement = statementOf(context)
    const list = expressions.map(
      (expression, at) => `${expressionText(expression)} as ${sqlName(`p${String(at + 1)}`)}`,
    )
    probes.push({ sql: `select ${list.join(', ')}\nfrom ${from(statement)}`, expressions })
  }
  for (const { input, key } of inputKeys(stage)) {
    const { core } = stage
    const args = core.kind === 'aggregate' ? argumentsOf(core) : []
    ask([...key, ...args], (statement) => itemOf(statement, input, 'new').sql)
  }
  if (!stage.linear) {
    ask(
      [...stage.outputs, ...stage.key].map(({ expression }) => expression),
      (statement) => `(\n${keyedSelect(statement, stage.core, null)}\n) as core`,
    )
  } else {
    ask(
      stage.outputs.map(({ expression }) => expression),
      (statement) => `(\n${selectOf(statement, stage.core)}\n) as core`,
    )
  }
  return probes
}
