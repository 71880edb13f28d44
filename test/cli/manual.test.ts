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

test.each([80, 100, 120])('help fits into %i characters', async (width) => {
  let out = ''
  const terminal: Surroundings = {
    ...surroundings,
    width: () => width,
    out: (text) => {
      out += text
    },
  }
  await runCli(['--help'], terminal)
  for (const command of commands) await runCli([command.name(), '--help'], terminal)
  expect(out.split('\n').filter((line) => line.length > width)).toEqual([])
})
