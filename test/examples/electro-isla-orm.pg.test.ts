import { installOrms } from '../orms/install.ts'

installOrms()
// By a name that no tool follows: where the ORMs are not installed, their types are not found.
const suite = 'electro-isla'
await import(new URL(`../orms/${suite}-suite.ts`, import.meta.url).href)
