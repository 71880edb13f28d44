import { nearest } from '../../base/nearest.ts'
import type { StageToShow } from '../../engine/explain.ts'
import { explainFile, explainView, stagesToShow } from '../../engine/explain.ts'
import { makeCommand } from '../command.ts'
import type { Call, CommandMaker } from '../command.ts'
import { usage } from '../option-values.ts'
import { renderExplanation, renderFile } from '../render/explain.ts'

interface ExplainOptions {
  readonly stage?: string
  readonly file?: string
}

/** `tidemark explain`: how a view is maintained and why so. */
export const explainCommand: CommandMaker = makeCommand<ExplainOptions>({
  name: 'explain',
  summary: 'how views are maintained and why so: strategy, reasons with places, stages, indexes',
  examples: [
    ['tidemark explain sales_by_day', 'a view of the configuration'],
    ['tidemark explain sales_by_day --stage sql', `a step on the way: ${stagesToShow.join(', ')}`],
    [
      'tidemark explain --file views.sql --database-url postgres://…',
      'each query of a file, installing nothing',
    ],
  ],
  arrange: (command) => {
    command
      .argument('[view]', 'a view of the configuration')
      .option('--stage <stage>', `show this step: ${stagesToShow.join(', ')}`)
      .option('--file <file>', 'each SELECT and CREATE [MATERIALIZED] VIEW of a file instead')
  },
  run: (call) => {
    const [view] = call.words
    const { file, stage } = call.options
    if ((view === undefined) === (file === undefined)) {
      throw usage(
        view === undefined
          ? 'tidemark explain needs the name of a view, or a file'
          : 'A view and --file are both given',
        "Write 'tidemark explain VIEW' or 'tidemark explain --file FILE'.",
      )
    }
    if (file !== undefined && stage !== undefined) {
      throw usage(
        '--stage shows a step of a view of the configuration',
        "Leave it out, or write 'tidemark explain VIEW --stage STAGE'.",
      )
    }
    return file === undefined ? ofView(call, view ?? '', stageOf(stage)) : ofFile(call, file)
  },
})

function stageOf(text: string | undefined): StageToShow | null {
  if (text === undefined) return null
  const found = stagesToShow.find((stage) => stage === text)
  if (found !== undefined) return found
  const near = nearest(text, stagesToShow)
  throw usage(
    `There is no stage ${text}`,
    `${near === undefined ? '' : `Did you mean ${near}? `}The stages are ${stagesToShow.join(', ')}.`,
  )
}

async function ofView(
  call: Call<ExplainOptions>,
  view: string,
  show: StageToShow | null,
): Promise<number> {
  const configuration = await call.configuration()
  const { explanation, lines } = await call.database(
    (database) => explainView(database, configuration, { view, show }),
    configuration,
  )
  const shown = show === null ? {} : { stage: show, text: lines.join('\n') }
  call.answer('explain', { ...explanation, ...shown }, (style) =>
    show === null ? renderExplanation(explanation, style) : lines,
  )
  return 0
}

/** Status 1 when a statement could not be understood; the others are explained all the same. */
async function ofFile(call: Call<ExplainOptions>, path: string): Promise<number> {
  const { folder } = call.surroundings
  const found = await call.database((database) => explainFile(database, { folder, path }))
  call.answer('explain', { file: path, ...found }, (style) => renderFile(found, style))
  return found.queries.some(({ error }) => error !== null) ? 1 : 0
}
