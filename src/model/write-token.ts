import { TidemarkError } from './errors.ts'

/**
 * What a reader wants to have seen, as `tidemark.token()` gives it: the transaction of a write, or, outside of one, every
 * commit that was visible then (a snapshot).
 */
export type WriteToken =
  | { readonly kind: 'transaction'; readonly xid: bigint }
  | { readonly kind: 'snapshot'; readonly snapshot: Snapshot }

/** What a statement sees of transactions: all that had ended when it was taken. */
interface Snapshot {
  readonly xmax: bigint
  /** Those below `xmax` that had not ended. */
  readonly open: ReadonlySet<bigint>
}

/** Reads a token. @throws TidemarkError TIDEMARK_CACHE_INVALID for any other text. */
export function parseToken(text: string): WriteToken {
  if (/^\d+$/.test(text)) return { kind: 'transaction', xid: BigInt(text) }
  const snapshot = /^\d+:\d+:[\d,]*$/.test(text) ? parseSnapshot(text) : undefined
  if (snapshot !== undefined) return { kind: 'snapshot', snapshot }
  throw new TidemarkError({
    code: 'TIDEMARK_CACHE_INVALID',
    what: `'${text}' is no token.`,
    mend: `Give what 'select tidemark.token()' answered in the transaction of the write.`,
  })
}

/** Whether a snapshot, as PostgreSQL prints it, sees all that a token stands for. */
export function sees(snapshotText: string, token: WriteToken): boolean {
  const { xmax, open } = parseSnapshot(snapshotText)
  if (token.kind === 'transaction') return token.xid < xmax && !open.has(token.xid)
  const { snapshot } = token
  const missed = [...open].some((xid) => xid < snapshot.xmax && !snapshot.open.has(xid))
  return xmax >= snapshot.xmax && !missed
}

function parseSnapshot(text: string): Snapshot {
  const [, xmax = '0', open = ''] = text.split(':')
  return { xmax: BigInt(xmax), open: new Set(open === '' ? [] : open.split(',').map(BigInt)) }
}
