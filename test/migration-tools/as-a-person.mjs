// Loaded before a tool. Prisma looks for drift in `migrate dev` alone, which it refuses where nobody
// could be asked; and its engine in WebAssembly forgets a timer of ten seconds, for which the process
// would wait.
process.stdin.isTTY = true

const forgottenMs = 10_000
const start = globalThis.setTimeout
globalThis.setTimeout = (call, ms, ...args) => {
  const timer = start(call, ms, ...args)
  return ms === forgottenMs ? timer.unref() : timer
}
