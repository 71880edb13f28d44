import { runCli } from './program.ts'
import { processSurroundings } from './surroundings.ts'

// A reader that has gone, as in `tidemark history | head`, is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0)
  throw error
})
process.exitCode = await runCli(process.argv.slice(2), processSurroundings())
