import { spawn } from 'node:child_process'
import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { isAlive, readPostmaster } from './cluster.ts'
import { openDatabase } from './connection.ts'
import type { EmbeddedOptions, EmbeddedServer } from './embedded.ts'
import { startEmbedded } from './embedded.ts'
import { plainUser } from './plain-user.ts'

let folder: string
let dataFolder: string
const servers: EmbeddedServer[] = []

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidemark-embedded-'))
  await chmod(folder, 0o755)
  dataFolder = join(folder, 'data')
})

afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop()
  await rm(folder, { recursive: true, force: true })
})

async function start(options: Partial<EmbeddedOptions> = {}): Promise<EmbeddedServer> {
  const server = await startEmbedded({ dataFolder, settings: { fsync: 'off' }, ...options })
  servers.push(server)
  return server
}

async function ask(url: string, text: string): Promise<unknown> {
  const database = openDatabase(url)
  try {
    return await database.query(text)
  } finally {
    await database.close()
  }
}

test('the server answers, keeps its data over a restart and is gone after stop', async () => {
  const first = await start()
  await ask(first.url, 'create table kept as select 42 as n')
  await first.stop()
  expect(isAlive(first.pid)).toBe(false)
  const second = await start({ port: first.port })
  expect(second.url).toBe(first.url)
  expect(await ask(second.url, 'select n from kept')).toEqual([{ n: 42 }])
  await second.stop()
  await second.stop()
})

test('text is UTF-8, the caller is let in by password alone, and settings hold', async () => {
  const { url } = await start({ settings: { work_mem: '7MB' } })
  expect(
    await ask(
      url,
      `select current_setting('server_encoding') as encoding, upper('å') as upper,
              current_setting('work_mem') as work_mem, current_setting('listen_addresses') as at`,
    ),
  ).toEqual([{ encoding: 'UTF8', upper: 'Å', work_mem: '7MB', at: '127.0.0.1' }])
  const password = new URL(url).password
  await expect(ask(url.replace(password, 'other'), 'select 1')).rejects.toMatchObject({
    code: 'TIDEMARK_DATABASE_REFUSED',
    message: expect.not.stringContaining('other') as string,
  })
  const file = join(dataFolder, 'password')
  expect((await readFile(file, 'utf8')).trim()).toBe(password)
  expect((await stat(file)).mode & 0o777).toBe(0o600)
})

test('a port that another program uses is refused before anything is made', async () => {
  const other = createServer()
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
  const address = other.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  await expect(start({ port })).rejects.toMatchObject({
    code: 'TIDEMARK_PORT_TAKEN',
    what: expect.stringContaining(String(port)) as string,
  })
  await new Promise((resolve) => other.close(resolve))
  await expect(stat(dataFolder)).rejects.toThrow('ENOENT')
})

test('a folder on which a server runs is refused with its process number', async () => {
  const { pid } = await start()
  await expect(start()).rejects.toMatchObject({
    code: 'TIDEMARK_FOLDER_TAKEN',
    mend: expect.stringContaining(`kill -INT ${pid}`) as string,
  })
})

test('a folder with other things in it is refused and left as it is', async () => {
  await mkdir(dataFolder)
  await writeFile(join(dataFolder, 'thesis.txt'), 'years of work')
  const { mode } = await stat(dataFolder)
  await expect(start()).rejects.toMatchObject({
    code: 'TIDEMARK_FOLDER_TAKEN',
    what: expect.stringContaining('thesis.txt') as string,
  })
  expect((await stat(dataFolder)).mode).toBe(mode)
})

test('after a crash the number of the old server may belong to any program', async () => {
  const first = await start()
  await first.stop()
  const left = join(dataFolder, 'cluster', 'postmaster.pid')
  await writeFile(left, `${process.pid}\n${join(dataFolder, 'cluster')}\n0\n5432\n`)
  const second = await start()
  expect(await ask(second.url, 'select 1 as one')).toEqual([{ one: 1 }])
})

test.skipIf(plainUser() === null)(
  'a folder that the account of the server cannot reach is replaced, and a note says by which',
  async () => {
    await chmod(folder, 0o700)
    const first = await start()
    expect(first.notes).toEqual([expect.stringContaining(first.dataFolder)])
    expect(first.dataFolder).not.toBe(dataFolder)
    await ask(first.url, 'create table kept ()')
    await first.stop()
    const second = await start()
    expect(await ask(second.url, 'select from kept')).toEqual([])
    await second.stop()
    await rm(second.dataFolder, { recursive: true })
  },
)

test('a server that cannot start says why', async () => {
  await expect(start({ settings: { shared_buffers: 'plenty' } })).rejects.toMatchObject({
    code: 'TIDEMARK_EMBEDDED_FAILED',
    what: expect.stringContaining('shared_buffers') as string,
  })
  expect(await readPostmaster(join(dataFolder, 'cluster'))).toBeUndefined()
})

test('a cluster whose making was cut off is made anew', async () => {
  await mkdir(join(dataFolder, 'cluster.new-999999999'), { recursive: true })
  const { url } = await start()
  expect(await ask(url, 'select 1 as one')).toEqual([{ one: 1 }])
})

test('the server stops when the process that started it is killed', async () => {
  const module = fileURLToPath(new URL('./embedded.ts', import.meta.url))
  const program = `
    import { createJiti } from 'jiti'
    const { startEmbedded } = await createJiti(process.cwd()).import(${JSON.stringify(module)})
    const server = await startEmbedded({ dataFolder: ${JSON.stringify(dataFolder)} })
    console.log(server.pid)`
  const parent = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const line = await new Promise<string>((resolve, reject) => {
    createInterface({ input: parent.stdout }).once('line', resolve).once('close', reject)
  })
  const pid = Number(line)
  expect(isAlive(pid)).toBe(true)
  parent.kill('SIGKILL')
  while (isAlive(pid)) await sleep(20)
  expect(await readPostmaster(join(dataFolder, 'cluster'))).toBeUndefined()
})
