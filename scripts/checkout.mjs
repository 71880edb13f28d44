// What a checkout needs before it can run: Node new enough, dependencies installed, dist built.
// Only Node's own modules, since this runs before anything is installed.
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The folder of the checkout. */
export const root = fileURLToPath(new URL('..', import.meta.url))

const nodeMin = [20, 19]
const installedStamp = join(root, 'node_modules/.tidemark-installed')
const builtStamp = join(root, 'dist/.sources')
const swapAttemptsMax = 5
const orphanLookMs = 500

/** A step that failed for a reason that its message tells in full; no stack is needed. */
export class StepFailed extends Error {}

/** Runs a script's main function; a failed step ends the process with its message and status 1. */
export async function main(work) {
  try {
    process.exitCode = (await work()) ?? 0
  } catch (fault) {
    if (!(fault instanceof StepFailed)) throw fault
    process.stderr.write(`${fault.message}\n`)
    process.exitCode = 1
  }
}

/** Does one step and tells it in one line of `out`, with the time it took. */
export async function step(out, text, work) {
  const started = performance.now()
  out.write(`${text} … `)
  try {
    const result = await work()
    out.write(`${seconds(started)}\n`)
    return result
  } catch (fault) {
    out.write(`failed after ${seconds(started)}\n`)
    throw fault
  }
}

/** The time since `started` (of `performance.now()`), as people read it. */
export function seconds(started) {
  return `${((performance.now() - started) / 1000).toFixed(1)} s`
}

/** Runs a program in silence; its output is shown only when it fails. */
export async function runQuietly(program, args, env = {}) {
  const child = spawn(program, args, {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const output = []
  child.stdout.on('data', (chunk) => output.push(chunk))
  child.stderr.on('data', (chunk) => output.push(chunk))
  const status = await statusOf(child, program)
  if (status === 0) return
  const said = Buffer.concat(output).toString().trimEnd()
  throw new StepFailed(`${said}\n\n${[program, ...args].join(' ')} ended with status ${status}.`)
}

/**
 * Runs a program on our own terminal until it ends and returns its exit status.
 *
 * Signals are passed on, but for Ctrl-C on a terminal: the terminal gave that one to the whole
 * foreground group already, and a second would tell the program to hurry. Without a terminal a
 * repetition within a second is the same wish (npm passes on what the group was given as well).
 *
 * npm passes a signal to its shell alone, which dies of it without a word to us: that our parent is
 * gone is then the signal to stop, else a server would go on running behind the user's back.
 */
export async function runInFront(program, args, env = {}) {
  const child = spawn(program, args, {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: 'inherit',
  })
  const onTerminal = process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY
  let passedAt = -Infinity
  const pass = (signal) => {
    if (signal === 'SIGINT' && onTerminal) return
    if (performance.now() - passedAt < 1000) return
    passedAt = performance.now()
    child.kill(signal)
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, pass)
  const stopLooking = process.env.npm_lifecycle_event ? onOrphaned(() => pass('SIGTERM')) : () => {}
  const status = await statusOf(child, program)
  stopLooking()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.off(signal, pass)
  return status
}

/** Calls back once when our parent has ended; returns how to stop looking. */
function onOrphaned(tell) {
  const parent = process.ppid
  const look = setInterval(() => {
    if (process.ppid === parent) return
    clearInterval(look)
    tell()
  }, orphanLookMs)
  return () => clearInterval(look)
}

function statusOf(child, program) {
  return new Promise((resolve, reject) => {
    child.once('error', (fault) =>
      reject(new StepFailed(`${program} could not be started: ${fault.message}`)),
    )
    child.once('close', (code, signal) => resolve(code ?? 128 + constants.signals[signal]))
  })
}

/** Makes the checkout ready to run. What is ready already costs a few milliseconds and no line. */
export async function prepare(out) {
  checkNode()
  await install(out)
  await build(out)
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major > nodeMin[0] || (major === nodeMin[0] && minor >= nodeMin[1])) return
  throw new StepFailed(
    `Tidemark needs Node ${nodeMin.join('.')} or newer; this is ${process.versions.node}.`,
  )
}

/** Installs the dependencies of package-lock.json, unless they are there. */
export async function install(out) {
  const lock = readFileSync(join(root, 'package-lock.json'))
  const digest = createHash('sha256')
    .update(lock)
    .update(`${process.platform} ${process.arch}`)
    .digest('hex')
  if (contentOf(installedStamp) === digest) return
  if (!holdsAll(JSON.parse(lock))) {
    await step(out, 'install the dependencies (npm ci)', () =>
      runQuietly(...npm('ci', '--no-audit', '--no-fund')),
    )
  }
  writeFileSync(installedStamp, digest)
}

/** npm as a program and its arguments: the one that runs us, else the one on the path. */
export function npm(...args) {
  const running = process.env.npm_execpath
  if (running?.endsWith('.js')) return [process.execPath, [running, ...args]]
  return [process.platform === 'win32' ? 'npm.cmd' : 'npm', args]
}

/** Whether somebody has installed by hand just what the lock file says (npm keeps a list). */
function holdsAll(lock) {
  const list = contentOf(join(root, 'node_modules/.package-lock.json'))
  if (list === undefined) return false
  const held = JSON.parse(list).packages
  return Object.entries(lock.packages).every(
    ([path, wanted]) =>
      path === '' || held[path]?.version === wanted.version || (wanted.optional && !held[path]),
  )
}

/** Whether dist was built from just these sources. */
export function isBuilt() {
  return contentOf(builtStamp) === digestOfSources()
}

/** Builds dist from src, unless it was built from just these sources. */
export async function build(out) {
  const digest = digestOfSources()
  if (contentOf(builtStamp) === digest) return
  await step(out, 'build dist from src (tsc)', () => buildAs(digest))
}

/**
 * Builds into a folder of its own and then takes the place of dist, so that a program that starts
 * meanwhile sees the old build or the new one, whole, and of two builders the later wins.
 */
async function buildAs(digest) {
  const fresh = join(root, `dist.${process.pid}`)
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  try {
    await runQuietly(process.execPath, [tsc, '-p', 'tsconfig.build.json', '--outDir', fresh])
    writeFileSync(join(fresh, '.sources'), digest)
    takePlace(fresh, join(root, 'dist'))
  } finally {
    rmSync(fresh, { recursive: true, force: true })
  }
}

function takePlace(fresh, place) {
  const old = `${fresh}.old`
  for (let attempt = 1; attempt <= swapAttemptsMax; attempt += 1) {
    try {
      if (existsSync(place)) renameSync(place, old)
      renameSync(fresh, place)
      break
    } catch (fault) {
      // Another builder was between the two renames.
      if (attempt === swapAttemptsMax) throw fault
    } finally {
      rmSync(old, { recursive: true, force: true })
    }
  }
}

function digestOfSources() {
  const hash = createHash('sha256')
  const files = readdirSync(join(root, 'src'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.endsWith('.test.ts'))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort()
  const settings = ['tsconfig.json', 'tsconfig.build.json', 'package-lock.json']
  for (const file of [...settings.map((name) => join(root, name)), ...files]) {
    hash
      .update(`${relative(root, file)}\0`)
      .update(readFileSync(file))
      .update('\0')
  }
  return hash.digest('hex')
}

function contentOf(file) {
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined
}
