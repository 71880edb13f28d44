#!/usr/bin/env node
// The command `tidemark`. In a checkout dist may be missing or old: it is built first, with one line
// on stderr. In the published package there is no src, and dist is what it is.
import { existsSync } from 'node:fs'

if (existsSync(new URL('../src', import.meta.url))) {
  const { StepFailed, prepare } = await import('../scripts/checkout.mjs')
  try {
    await prepare(process.stderr)
  } catch (fault) {
    if (!(fault instanceof StepFailed)) throw fault
    process.stderr.write(`${fault.message}\n`)
    process.exit(1)
  }
}
await import('../dist/cli/main.js')
