import { parseArgs } from 'node:util'
import { measureBytes } from './cache/bytes.ts'
import { measureCallers } from './cache/callers.ts'
import { measureHits } from './cache/hits.ts'
import { measureInvalidations } from './cache/invalidations.ts'
import type { Measured } from './cache/measures.ts'
import { measureSharedHits } from './cache/shared-hits.ts'
import { installPeers, peerNames, peerOf } from './peers/peers.ts'

const { values } = parseArgs({
  options: { only: { type: 'string' }, json: { type: 'boolean', default: false } },
})

installPeers()
const peers = await Promise.all(peerNames.map((name) => peerOf(name)))

const measures: Readonly<Record<string, () => Promise<Measured>>> = {
  hits: () => measureHits(peers),
  shared: () => measureSharedHits(peers),
  invalidations: () => measureInvalidations(peers),
  callers: () => measureCallers(),
  bytes: () => measureBytes(),
}

const rows = []
for (const [name, measure] of Object.entries(measures)) {
  if (values.only !== undefined && values.only !== name) continue
  const { lines, load } = await measure()
  rows.push(...lines.map((line) => ({ ...line, load })))
  if (values.json) continue
  for (const { measure: what, subject, value, best, unit, ratio } of lines)
    console.log(
      `${what.padEnd(28)} ${subject.padEnd(40)} ${String(value).padStart(8)} ${unit.padEnd(5)} (best ${best}) × ${ratio}`,
    )
  console.log(`(load ${load.average}, others kept ${load.othersCores} cores busy)\n`)
}
if (values.json) console.log(JSON.stringify({ rows }))
