import type { CommandMaker } from '../command.ts'
import { demoCommand } from '../demo/demo-command.ts'
import { applyCommand } from './apply.ts'
import { cacheCommand } from './cache.ts'
import { cancelCommand } from './cancel.ts'
import { destroyCommand } from './destroy.ts'
import { doctorCommand } from './doctor.ts'
import { explainCommand } from './explain.ts'
import { historyCommand } from './history.ts'
import { initCommand } from './init.ts'
import { keysCommand } from './keys.ts'
import { nextCommand } from './next.ts'
import { pauseCommand, resumeCommand } from './pause.ts'
import { planCommand } from './plan.ts'
import { refreshCommand } from './refresh.ts'
import { scanCommand } from './scan.ts'
import { showCommand } from './show.ts'
import { statusCommand } from './status.ts'
import { tickCommand } from './tick.ts'
import { upCommand } from './up.ts'
import { verifyCommand } from './verify.ts'
import { versionCommand } from './version.ts'
import { whyCommand } from './why.ts'

/** Commands that serve one purpose, as help lists them. */
export interface CommandGroup {
  readonly title: string
  readonly makers: readonly CommandMaker[]
}

/** Every command, in the order in which help lists them. */
export const commandGroups: readonly CommandGroup[] = [
  {
    title: 'Begin:',
    makers: [demoCommand, initCommand, scanCommand, doctorCommand, explainCommand],
  },
  { title: 'Set up a database:', makers: [planCommand, applyCommand, destroyCommand] },
  { title: 'Keep views fresh:', makers: [upCommand, tickCommand] },
  {
    title: 'Look:',
    makers: [statusCommand, showCommand, whyCommand, historyCommand, nextCommand, verifyCommand],
  },
  { title: 'By hand:', makers: [refreshCommand, cancelCommand, pauseCommand, resumeCommand] },
  { title: 'Caches:', makers: [cacheCommand, keysCommand] },
  { title: 'About:', makers: [versionCommand] },
]

/** Every command. */
export const commandMakers: readonly CommandMaker[] = commandGroups.flatMap(({ makers }) => makers)
