import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import { expect, test } from 'vitest'
import { commandMakers } from '../../src/cli/commands/index.ts'
import { runCli } from '../../src/cli/program.ts'
import type { Surroundings } from '../../src/cli/surroundings.ts'

const surroundings: Surroundings = {
  environment: {},
  folder: '.',
  clock: () => new Date(0),
  out: () => undefined,
  err: () => undefined,
  interactive: false,
  width: () => null,
  confirm: null,
  openTerminal: null,
  onStop: () => () => undefined,
}

const manual = readFileSync(new URL('../../docs/cli.md', import.meta.url), 'utf8')
const commands = commandMakers.map((make): Command => make(surroundings, () => undefined))
const common = ['--database-url', '--config', '--json', '--verbose']

/** What the manual says of a command: its name to the words below its title. */
const sections = new Map(
  manual
    .split(/^## /m)
    .slice(1)
    .map((section) => [/^`?([^`\n]*)/.exec(section)?.[1] ?? '', section]),
)

test('the manual has a section for every command, and no other', () => {
  const named = [...sections.keys()].filter((title) => title !== 'What every command knows')
  expect(named.sort()).toEqual(commands.map((command) => command.name()).sort())
})

test.each(commands.map((command) => [command.name(), command] as const))(
  'the manual has the options of %s, and no other',
  (name, command) => {
    const options = command.options.flatMap(({ long }) => long ?? [])
    const told = [...(sections.get(name) ?? '').matchAll(/^\| `(--[a-z-]+)/gm)].map(
      ([, one]) => one,
    )
    expect(told.sort()).toEqual(options.filter((one) => !common.includes(one)).sort())
    expect(options).toEqual(expect.arrayContaining(common))
  },
)

/** What is printed for these words. */
async function printed(words: readonly string[], width: number | null = null): Promise<string> {
  let out = ''
  const terminal: Surroundings = {
    ...surroundings,
    width: () => width,
    out: (text) => {
      out += text
    },
  }
  expect(await runCli(words, terminal)).toBe(0)
  return out
}

test('help lists every command, and each shows an example', async () => {
  const listed = [...(await printed(['--help'])).matchAll(/^ {2}([a-z]+) {2,}\S/gm)]
  const names = commands.map((command) => command.name())
  expect(listed.map(([, name]) => name).sort()).toEqual([...names, 'help'].sort())
  for (const name of names) {
    const help = await printed([name, '--help'])
    expect(help).toMatch(/Examples:\n {2}\S/)
    for (const option of common) expect(help).toContain(option)
  }
})

test.each([80, 100, 120])('help fits into %i characters', async (width) => {
  const pages = [['--help'], ...commands.map((command) => [command.name(), '--help'])]
  for (const words of pages) {
    const lines = (await printed(words, width)).split('\n')
    expect(lines.filter((line) => line.length > width)).toEqual([])
  }
})
