import { partsOf } from '../model/ids.ts'
import type { RelationName } from '../model/ids.ts'
import type { CompiledView } from '../model/view.ts'
import { qualifiedName } from '../postgres/identifier.ts'
import { canonicalJson } from './actual.ts'
import type { DesiredView } from './desired.ts'
import { rowsOf, sourcesOf } from './view-catalogue.ts'
import type { Found } from './view-found.ts'
import { artifactOf } from './view-found.ts'
import { isStored, programDigest, viewObjects } from './view-objects.ts'
import type { FormerNames, Progress } from './view-steps.ts'

/**
 * Whether an incremental program is the one of which the digest is given, but for the names of tables.
 *
 * With the former names in place of the present ones it has that digest. No former name is in it as it is, so that each name of one
 * stands for one of the other, and by the caller for the same table. And no statement that makes what rows are kept in has a name in
 * it that is another one: what the former program has stored is what this one would have.
 */
function isRenamed(compiled: CompiledView, digest: string, names: FormerNames): boolean {
  const pairs = [...names].flatMap(([now, former]) => wordsOf(now, former))
  const { maintainSql, incremental } = compiled
  if (incremental === null) return false
  const all = [maintainSql, ...incremental.install]
  const used = pairs.filter(({ now }) => all.some((text) => text.includes(now)))
  if (new Set(used.map(({ former }) => former)).size < used.length) return false
  if (used.some(({ former }) => all.some((text) => text.includes(former)))) return false
  const before = (text: string): string =>
    used.reduce((read, { now, former }) => read.replaceAll(now, former), text)
  if (incremental.install.some((made) => isStored(made) && before(made) !== made)) return false
  return (
    programDigest({
      ...compiled,
      maintainSql: before(maintainSql),
      incremental: { ...incremental, install: incremental.install.map(before) },
    }) === digest
  )
}

/** Texts by which a program names a table, longest first: as it is shown, as SQL has it, and the bare name, which its columns begin with. */
function wordsOf(
  now: RelationName,
  former: RelationName,
): readonly { readonly now: string; readonly former: string }[] {
  const pairs = [
    { now: String(now), former: String(former) },
    { now: qualifiedName(now), former: qualifiedName(former) },
    { now: partsOf(now).name, former: partsOf(former).name },
  ]
  return pairs.filter((pair) => pair.now !== pair.former)
}

/**
 * Whether nothing but names is another: the query is the one that the live view is bound to, over the same columns, and the program is
 * the one that was made but for names of tables, of which what is stored bears none. What is stored is right then, and stays.
 */
export function keepsState(desired: DesiredView, found: Found, progress: Progress): boolean {
  const { compiled } = desired
  const { actual, renamedSources } = progress
  const same = actual.liveQueries.get(compiled.name) === compiled.query.sql
  const held =
    !actual.movedDefinitions.has(compiled.name) || actual.renamedDefinitions.has(compiled.name)
  const made = artifactOf(found, 'function', viewObjects(compiled.name).signature)
  if (!same || !held || made?.exists !== true) return false
  const strategy = compiled.incremental?.strategy ?? 'full'
  if (found.row['strategy'] !== strategy || readsOtherwise(desired, progress)) return false
  return compiled.incremental === null || isRenamed(compiled, made.digest, renamedSources)
}

/** Whether a view reads other tables than the catalogue has, or other columns of them. */
export const readsOtherwise = (desired: DesiredView, { actual }: Progress): boolean =>
  canonicalJson([...sourcesOf(desired)].sort()) !==
  canonicalJson(rowsOf(actual.catalogue.view_source, desired.compiled.name, 'source'))
