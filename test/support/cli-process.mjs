// The command line in a process of its own, which gets real signals.
import { load } from './built-or-source.mjs'

await load('cli/main')
