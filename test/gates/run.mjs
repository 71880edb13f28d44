// npm run gates: a gate counts once it has been seen red. Breaks the code on purpose, in a copy of
// the source tree, and expects each gate to name the breach.
import { spawn } from 'node:child_process'
import { appendFile, cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as breaches from './breaches.mjs'

const root = fileURLToPath(new URL('../..', import.meta.url))
const notCopied = /^(node_modules|dist(\..*)?|coverage|\.tidemark|\.git)$/

const started = performance.now()
const copy = await mkdtemp(join(tmpdir(), 'tidemark-gates-'))

/** Two lanes for two processors; both see all the breaches that the other made. */
async function first() {
  return [...(await lint()), ...(await format()), ...(await publication())]
}

async function second() {
  return [...(await layers()), ...(await types()), ...(await unused()), ...(await test())]
}

async function copyTree() {
  await cp(root, copy, {
    recursive: true,
    filter: (path) => {
      const inside = path.slice(root.length).replace(/^\//, '').split('/')
      return !notCopied.test(inside[0]) && inside.at(-1) !== 'node_modules'
    },
  })
  await symlink(join(root, 'node_modules'), join(copy, 'node_modules'))
  const all = Object.values(breaches).flat()
  for (const { files = {}, edits = {}, append = {} } of all) {
    for (const [file, text] of Object.entries(files)) await write(file, text)
    for (const [file, [before, after]] of Object.entries(edits)) await edit(file, before, after)
    for (const [file, text] of Object.entries(append)) await appendFile(join(copy, file), text)
  }
  for (const [n, { code }] of breaches.lint.entries()) await write(lintFile(n), code)
}

async function write(file, text) {
  await mkdir(dirname(join(copy, file)), { recursive: true })
  await writeFile(join(copy, file), text)
}

async function edit(file, before, after) {
  const text = await readFile(join(copy, file), 'utf8')
  if (!text.includes(before)) throw new Error(`The breach finds no '${before}' in ${file}.`)
  await writeFile(join(copy, file), text.replace(before, after))
}

const lintFile = (n) => `src/base/breach-lint-${n}.ts`

async function lint() {
  const files = breaches.lint.map((_, n) => lintFile(n))
  const { output } = await tool('eslint/bin/eslint.js', '--format', 'json', ...files)
  const results = JSON.parse(output)
  return breaches.lint.map(({ what, rule }, n) => {
    const result = results.find(({ filePath }) => filePath.endsWith(lintFile(n)))
    // What ESLint finds of its own directives is of no rule.
    const red = result?.messages.some(
      ({ ruleId, severity }) => (ruleId ?? 'unused directive') === rule && severity === 2,
    )
    return { gate: 'lint', what, by: rule, red }
  })
}

async function layers() {
  const { output } = await tool(
    'dependency-cruiser/bin/dependency-cruise.mjs',
    'src',
    '--output-type',
    'json',
  )
  const { violations } = JSON.parse(output).summary
  return breaches.layers.map(({ what, rule, from }) => {
    const mine = violations.filter((found) => found.rule.name === rule && involves(found, from))
    return { gate: 'layers', what, by: rule, red: mine.some(isError) }
  })
}

const isError = ({ rule }) => rule.severity === 'error'

const involves = (violation, file) =>
  violation.from === file || violation.cycle?.some(({ name }) => name === file)

async function types() {
  const whole = await tool('typescript/bin/tsc', '--pretty', 'false')
  const alone = await tool('typescript/bin/tsc', '-p', 'tsconfig.breach.json', '--pretty', 'false')
  return [...typeErrors(breaches.types, whole), ...typeErrors(breaches.declarations, alone)]
}

function typeErrors(list, { status, output }) {
  const lines = output.split('\n')
  return list.map(({ what, error, file }) => {
    const named = lines.some((line) => line.startsWith(`${file}(`) && line.includes(` ${error}:`))
    return { gate: 'types', what, by: error, red: status !== 0 && named }
  })
}

async function unused() {
  return seen('unused', breaches.unused, await tool('knip/bin/knip.js', '--no-config-hints'))
}

async function format() {
  const files = breaches.format.map(({ sees }) => sees)
  return seen(
    'format',
    breaches.format,
    await tool('prettier/bin/prettier.cjs', '--check', ...files),
  )
}

async function test() {
  const ran = await tool(
    'vitest/vitest.mjs',
    'run',
    '--project',
    'unit',
    'src/model/errors.test.ts',
    'src/base/breach-only.test.ts',
    'test/docs/links.test.ts',
  )
  return seen('test', breaches.test, ran)
}

async function publication() {
  return seen('package', breaches.publication, await tool('publint/src/cli.js', '--strict'))
}

function seen(gate, list, { status, output }) {
  return list.map(({ what, sees }) => {
    return { gate, what, by: sees, red: status !== 0 && output.includes(sees) }
  })
}

/** Runs a tool of node_modules in the copy. */
function tool(file, ...args) {
  const child = spawn(process.execPath, [join(copy, 'node_modules', file), ...args], {
    cwd: copy,
    env: { ...process.env, NO_COLOR: '1', FORCE_COLOR: '0' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const stdout = []
  const stderr = []
  child.stdout.on('data', (chunk) => stdout.push(chunk))
  child.stderr.on('data', (chunk) => stderr.push(chunk))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (status) => {
      const [said, told] = [stdout, stderr].map((chunks) => Buffer.concat(chunks).toString())
      resolve({ status, output: args.includes('json') ? said : said + told })
    })
  })
}

function report(results) {
  for (const { gate, what, by, red } of results) {
    const sign = red ? 'red  ' : 'GREEN'
    process.stdout.write(`${sign}  ${gate.padEnd(7)}  ${what} (${by})\n`)
  }
  const missed = results.filter(({ red }) => !red).length
  const took = ((performance.now() - started) / 1000).toFixed(1)
  process.stdout.write(
    `${results.length} breaches, ${missed === 0 ? 'each seen' : `${missed} not seen`}, in ${took} s\n`,
  )
  return missed === 0 ? 0 : 1
}

try {
  await copyTree()
  const reds = await Promise.all([first(), second()])
  process.exitCode = report(reds.flat())
} finally {
  await rm(copy, { recursive: true, force: true })
}
