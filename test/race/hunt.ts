import { parseArgs } from 'node:util'
import { startRedis } from '../support/redis.ts'
import { tidemarkSubject } from '../../src/testing/index.ts'
import { raceHunt } from './race-hunt.ts'

const { values } = parseArgs({
  options: {
    histories: { type: 'string', default: '1000' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    json: { type: 'boolean', default: false },
  },
})
const histories = Number(values.histories)
const seed = Number(values.seed)
const server = await startRedis()
const { subject, close } = await tidemarkSubject(server.url)
const beganAt = performance.now()
let played = 0
const report = await raceHunt(subject, {
  seed,
  histories,
  onHistory() {
    played += 1
    if (!values.json && played % 100 === 0) console.error(`${played} of ${histories} histories`)
  },
})
await close()
await server.stop()
const minutes = (performance.now() - beganAt) / 60_000
const { reads, hits, acknowledged, violations } = report
if (values.json) {
  console.log(
    JSON.stringify({
      subject: subject.name,
      seed,
      histories,
      reads,
      hits,
      acknowledged,
      violations,
    }),
  )
} else {
  for (const [at, violation] of violations.slice(0, 10))
    console.log(`seed ${at}: ${JSON.stringify(violation)}`)
  console.log(
    `${histories} histories from seed ${seed}, ${minutes.toFixed(1)} min: ${reads} reads, ${hits} of them hits, ` +
      `${acknowledged} invalidations acknowledged, ${violations.length} violations.`,
  )
}
process.exitCode = violations.length === 0 ? 0 : 1
