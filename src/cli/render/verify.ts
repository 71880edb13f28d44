import type { DifferingRow, Verified } from '../../engine/verify.ts'
import type { Fault } from '../../model/errors.ts'
import type { RelationName } from '../../model/ids.ts'
import type { Style } from '../surroundings.ts'
import { renderFault } from './fault.ts'
import { counted } from './figures.ts'
import { nameOf } from './status.ts'
import type { Column } from './table.ts'
import { renderTable, wrap } from './table.ts'

const indent = '    '

/** What a comparison found, for people: one line for a view that is equal, the first differing rows of any other. */
export function renderVerified(verified: Verified, style: Style): readonly string[] {
  const { colours } = style
  const name = colours.bold(nameOf(verified.view))
  const notes = notesOf(verified).flatMap((note) =>
    wrap(note, style.width - indent.length).map((line) => indent + colours.dim(line)),
  )
  switch (verified.outcome) {
    case 'equal':
      return [
        `${colours.green('✓')} ${name} equals its query: ${counted(verified.rows, 'row')}`,
        ...notes,
      ]
    case 'unfilled':
      return [
        `${colours.yellow('…')} ${name} was never filled: there is nothing to compare`,
        ...notes,
      ]
    case 'differs':
      return [
        `${colours.red('✗')} ${name} differs from its query: ${found(verified)}, of ${counted(verified.rows, 'row')}`,
        ...notes,
        ...differingRows(verified, { ...style, width: style.width - indent.length }).map(
          (line) => indent + line,
        ),
      ]
  }
}

const found = ({ missing, surplus }: Verified): string =>
  [
    ...(missing === 0 ? [] : [`${counted(missing, 'row')} missing`]),
    ...(surplus === 0 ? [] : [`${counted(surplus, 'row')} too many`]),
  ].join(', ')

function notesOf(verified: Verified): readonly string[] {
  const { outcome, commitsCount, marked, timeDependent } = verified
  const differs = outcome === 'differs'
  return [
    ...(commitsCount === null
      ? []
      : [`not refreshed first, so commits since its last refresh count: ${commitsCount}`]),
    ...(marked ? ['marked as unknown: its next refresh computes it afresh'] : []),
    ...(differs && timeDependent && commitsCount === null
      ? ['its query calls a volatile function or asks the clock: two runs of it may differ']
      : []),
  ]
}

interface ShownRow {
  readonly side: string
  readonly values: DifferingRow
}

function differingRows(verified: Verified, style: Style): readonly string[] {
  const { colours } = style
  const columns: readonly Column<ShownRow>[] = [
    { title: '', cell: ({ side }) => ({ text: side, paint: colours.red }) },
    ...verified.columns.map((title, at): Column<ShownRow> => ({
      title,
      widthMin: 8,
      importance: verified.columns.length - at,
      cell: ({ values }) => values[at] ?? { text: 'null', paint: colours.dim },
    })),
  ]
  const rows = [
    ...verified.firstMissing.map((values): ShownRow => ({ side: 'missing', values })),
    ...verified.firstSurplus.map((values): ShownRow => ({ side: 'too many', values })),
  ]
  return renderTable(columns, rows, style)
}

/** A view that could not be compared, for people, with the fault that kept it from that. */
export const renderFailed = (view: RelationName, fault: Fault, style: Style): readonly string[] => [
  `${style.colours.red('✗')} ${style.colours.bold(nameOf(view))} could not be compared`,
  ...renderFault(fault, { ...style, width: style.width - indent.length }).map(
    (line) => indent + line,
  ),
]

/** The last lines, where there are several views: how many of them are what their queries say, and how many nobody knows of. */
export function verifiedSummary(compared: readonly Verified[], failed: number): readonly string[] {
  const all = compared.length + failed
  if (all <= 1) return []
  const unequal = compared.filter(({ outcome }) => outcome !== 'equal').length
  if (unequal + failed === 0) return [`All ${String(all)} views equal their queries.`]
  return [
    ...(unequal === 0
      ? []
      : [
          `${String(unequal)} of ${counted(all, 'view')} ${unequal === 1 ? 'does not equal its query' : 'do not equal their queries'}.`,
        ]),
    ...(failed === 0
      ? []
      : [`${String(failed)} of ${counted(all, 'view')} could not be compared.`]),
  ]
}
