import { installOrms } from '../orms/install.ts'

installOrms()
// By a name that the compiler does not follow: where the ORMs are not installed, it would not find their types.
await import(new URL('../orms/electro-isla-suite.ts', import.meta.url).href)
