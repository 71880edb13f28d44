import { schemaState } from '../../engine/connect.ts'
import { makeCommand } from '../command.ts'
import type { CommandMaker } from '../command.ts'
import { programVersion } from '../program-version.ts'

const schemaWords = {
  current: 'the schema fits this program',
  older: "the schema is older: run 'tidemark apply'",
  absent: 'Tidemark is not installed',
  unreadable: 'Tidemark is installed; this role may not see its version',
} as const

/** `tidemark version`: of the program, of Node, and of the database when it is named. */
export const versionCommand: CommandMaker = makeCommand({
  name: 'version',
  summary: 'the version of this program; with --database-url also of the database',
  examples: [
    ['tidemark version', 'asks no database'],
    ['tidemark version --database-url "$DATABASE_URL"', 'whether the schema there fits'],
  ],
  run: async (call) => {
    const program = { tidemark: programVersion(), node: process.versions.node }
    const asked = call.options.databaseUrl !== undefined
    const schema = asked ? await call.database(schemaState) : null
    call.answer('version', { ...program, schema }, () => [
      `tidemark ${program.tidemark}, Node ${program.node}`,
      ...(schema === null ? [] : [`database: ${schemaWords[schema]}`]),
    ])
    return 0
  },
})
