import type { CommandMaker } from '../command.ts'
import { demoCommand } from '../demo/demo-command.ts'
import { applyCommand } from './apply.ts'
import { destroyCommand } from './destroy.ts'
import { planCommand } from './plan.ts'
import { statusCommand } from './status.ts'
import { upCommand } from './up.ts'

/** Every command, in the order in which help lists them. */
export const commandMakers: readonly CommandMaker[] = [
  planCommand,
  applyCommand,
  destroyCommand,
  upCommand,
  statusCommand,
  demoCommand,
]
