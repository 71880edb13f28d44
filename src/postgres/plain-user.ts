import { spawnSync } from 'node:child_process'
import type { PlainUser } from './cluster.ts'

/**
 * The account for a server: null unless we are root, else `tidemark`, else `postgres`, else a new
 * system account `tidemark`, else `nobody`.
 */
export function plainUser(): PlainUser | null {
  if (process.getuid?.() !== 0) return null
  const existing = userNamed('tidemark') ?? userNamed('postgres')
  if (existing !== undefined) return existing
  spawnSync('useradd', ['--system', '--no-create-home', '--user-group', 'tidemark'])
  return userNamed('tidemark') ?? userNamed('nobody') ?? { name: 'nobody', uid: 65534, gid: 65534 }
}

/** Whether the user can go into a folder, all folders above it included. */
export function canEnter(folder: string, user: PlainUser | null): boolean {
  if (user === null) return true
  // Its own /bin/sh, not a look at mode bits: access lists and mounts count as well.
  const { status } = spawnSync('/bin/sh', ['-c', 'cd "$1"', 'sh', folder], {
    cwd: '/',
    uid: user.uid,
    gid: user.gid,
  })
  return status === 0
}

function userNamed(name: string): PlainUser | undefined {
  const [uid, gid] = ['-u', '-g'].map((flag) => spawnSync('id', [flag, name], { encoding: 'utf8' }))
  if (uid?.status !== 0 || gid?.status !== 0) return undefined
  return { name, uid: Number(uid.stdout), gid: Number(gid.stdout) }
}
