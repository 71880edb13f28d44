import { readdirSync, readFileSync } from 'node:fs'

/** Clock ticks a second, which Linux has fixed for programs. */
const ticksPerSecond = 100

interface Stat {
  readonly parent: number
  /** Seconds of the process itself. */
  readonly own: number
  /** Seconds of its children that have ended. */
  readonly ended: number
}

/** Null where the process is gone, and everywhere but on Linux. */
function statOf(pid: number | string): Stat | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The name of the program may hold anything; what follows it begins with the state.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    const ticks = (from: number): number => Number(fields[from]) + Number(fields[from + 1])
    return {
      parent: Number(fields[1]),
      own: ticks(11) / ticksPerSecond,
      ended: ticks(13) / ticksPerSecond,
    }
  } catch {
    return null
  }
}

/** Seconds of processor time that a process has used. */
export const processorSeconds = (pid: number): number | null => statOf(pid)?.own ?? null

/** Seconds of processor time of a server: its postmaster, its backends, and those that have ended. */
export function serverSeconds(postmaster: number): number | null {
  const main = statOf(postmaster)
  if (main === null) return null
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(statOf)
    .filter((stat) => stat?.parent === postmaster)
    .reduce((sum, stat) => sum + (stat?.own ?? 0), main.own + main.ended)
}
