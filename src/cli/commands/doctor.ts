import { examine } from '../../engine/doctor.ts'
import { makeCommand } from '../command.ts'
import type { CommandMaker } from '../command.ts'
import { renderDoctor } from '../render/doctor.ts'

/** `tidemark doctor`: whether the database has all that Tidemark needs. */
export const doctorCommand: CommandMaker = makeCommand({
  name: 'doctor',
  summary: 'check server, privileges, capture, schedules, logs and what others do; changes nothing',
  examples: [
    ['tidemark doctor', 'status 1 when something fails'],
    ['tidemark doctor --json', 'the checks for a program'],
  ],
  run: (call) =>
    call.database(async (database) => {
      const checks = await examine(database)
      const failed = checks.some(({ status }) => status === 'fail')
      call.answer('doctor', { healthy: !failed, checks }, (style) => renderDoctor(checks, style))
      return failed ? 1 : 0
    }),
})
