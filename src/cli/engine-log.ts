import { pino } from 'pino'
import type { BaseLogger } from 'pino'
import type { EngineEvent } from '../engine/engine.ts'
import type { Call } from './command.ts'
import { withoutPasswords } from './render/fault.ts'
import { renderLogLine } from './render/log-line.ts'

/** What the engine says, as log lines. */
export interface EngineLog {
  readonly info: (message: string) => void
  readonly onEvent: (event: EngineEvent) => void
}

/** A message that repeats is told again only after this long. */
const repeatAfterMs = 30_000

/**
 * The log of an engine: lines for people where a person looks, else JSON, one line each.
 * No password gets out: every line passes one place that hides those of URLs.
 */
export function engineLog(call: Call<object>): EngineLog {
  const { surroundings, style } = call
  const pretty = surroundings.interactive && !call.json
  const write = (line: string): void => {
    const safe = withoutPasswords(line)
    surroundings.out(pretty ? `${renderLogLine(safe, style.colours)}\n` : safe)
  }
  const logger = pino(
    {
      base: null,
      level: call.options.verbose === true ? 'debug' : 'info',
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (level) => ({ level }) },
    },
    { write },
  )
  return {
    info: (message) => {
      logger.info(message)
    },
    onEvent: tellerOf(logger, surroundings.clock),
  }
}

/** Tells events; a loss that goes on is told once, and its end. */
function tellerOf(logger: BaseLogger, clock: () => Date): (event: EngineEvent) => void {
  const isNew = onceIn(repeatAfterMs, clock)
  let lost = false
  return (event) => {
    switch (event.kind) {
      case 'started':
        logger.info({ engine: event.name }, 'engine started')
        return
      case 'ticked':
        if (lost) logger.info('the database answers again')
        lost = false
        logger.debug(event.outcome, 'ticked')
        return
      case 'worked':
        tellWork(logger, event.done)
        return
      case 'problem':
        if (isNew(event.problem)) logger.error({ problem: event.problem }, 'nothing can be kept')
        return
      case 'lost': {
        const message = event.error instanceof Error ? event.error.message : String(event.error)
        lost ||= event.loop === 'tick'
        if (isNew(message)) logger.warn({ loop: event.loop, error: message }, 'trying again')
        return
      }
      case 'asleep':
        logger.info({ until: event.until }, 'nothing to do: asleep')
        return
      case 'awake':
        logger.info('awake')
        return
      case 'stopped':
        logger.info('engine stopped')
    }
  }
}

/** True for a message that was not seen within a span. */
function onceIn(spanMs: number, clock: () => Date): (message: string) => boolean {
  const seenAt = new Map<string, number>()
  return (message) => {
    const now = clock().getTime()
    for (const [old, at] of seenAt) if (now - at >= spanMs) seenAt.delete(old)
    if (seenAt.has(message)) return false
    seenAt.set(message, now)
    return true
  }
}

function tellWork(
  logger: BaseLogger,
  done: Extract<EngineEvent, { kind: 'worked' }>['done'],
): void {
  for (const { group, outcome } of done) {
    if (outcome === 'completed') logger.info({ group }, 'refreshed')
    else logger.warn({ group, outcome }, 'refresh did not complete')
  }
}
