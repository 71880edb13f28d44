import { spawnSync } from 'node:child_process'
import { chmod, cp, lstat, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { embeddedPackage, prepareBinaries } from './binaries.ts'
import { plainUser } from './plain-user.ts'

let folder: string
let packageFolder: string

/** A package as npm leaves it when its install script was blocked. */
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidemark-binaries-'))
  await chmod(folder, 0o755)
  packageFolder = join(folder, 'closed', 'package')
  await cp(embeddedPackage(), packageFolder, {
    recursive: true,
    filter: async (file) => !(await lstat(file)).isSymbolicLink(),
  })
  await chmod(join(packageFolder, 'native', 'bin', 'postgres'), 0o644)
})

afterEach(() => rm(folder, { recursive: true, force: true }))

const versionOf = (binFolder: string): string => {
  const user = plainUser()
  const { stdout } = spawnSync(join(binFolder, 'postgres'), ['--version'], {
    ...(user === null ? {} : { uid: user.uid, gid: user.gid }),
    cwd: '/',
    encoding: 'utf8',
  })
  return stdout
}

test('links and executable bits that npm left out are made good', async () => {
  const { binFolder, note } = await prepareBinaries(packageFolder, plainUser())
  expect(note).toBeNull()
  expect(versionOf(binFolder)).toMatch(/PostgreSQL\) 18/)
  expect(await prepareBinaries(packageFolder, plainUser())).toEqual({ binFolder, note })
})

test.skipIf(plainUser() === null)(
  'where the account cannot enter, a copy is made once and said so',
  async () => {
    await chmod(join(folder, 'closed'), 0o700)
    const first = await prepareBinaries(packageFolder, plainUser(), folder)
    expect(first.note).toMatch(/cannot be entered by/)
    expect(versionOf(first.binFolder)).toMatch(/PostgreSQL\) 18/)
    const { ino } = await lstat(first.binFolder)
    expect(await prepareBinaries(packageFolder, plainUser(), folder)).toEqual(first)
    expect((await lstat(first.binFolder)).ino).toBe(ino)
  },
)
