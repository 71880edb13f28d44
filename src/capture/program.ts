import { createHash } from 'node:crypto'
import type { CaptureProgram, CaptureWish } from '../model/capture.ts'
import { captureNames } from '../model/names.ts'
import { literal, qualified, qualifiedName } from '../postgres/identifier.ts'
import { buckets, createCaptureFunctions, eventFunction } from './capture-function.ts'
import { createLog } from './change-log.ts'
import { dollarQuoted } from './dollar-quoted.ts'
import { createConditionFunction, createImage, isOfRenamed } from './image.ts'
import { settle, textArray } from './settle.ts'
import { createTrigger, triggersOf } from './triggers.ts'

/**
 * Compiles a wish into the SQL that captures a source: image, change log, capture function, triggers.
 *
 * Guarantees: equal wishes give equal text; `install` over itself changes nothing and loses no row of the
 * log; where it cannot keep the log, or finds that capture did not hold, it leaves a gap.
 * The caller must run each list in one transaction, and populate views in a later one: writers that were
 * open before the lock are then over.
 */
export function captureProgram(wish: CaptureWish): CaptureProgram {
  const { name } = wish.shape
  const triggers = triggersOf(wish)
  const install = [
    `lock table ${qualifiedName(name)} in share row exclusive mode`,
    settle(wish, triggers),
    ...createImage(wish),
    ...buckets.flatMap((bucket) => createLog(wish, bucket)),
    ...wish.events.flatMap(({ rule, condition }) =>
      createConditionFunction(wish, eventFunction(name, rule), condition),
    ),
    ...createCaptureFunctions(wish),
    ...triggers.flatMap((trigger) => createTrigger(trigger)),
  ]
  return {
    source: name,
    install,
    uninstall: [uninstall(wish)],
    digest: createHash('sha256').update(install.join(';\n')).digest('hex'),
  }
}

/** Finds everything by its own name, so that it serves also when the table was renamed or is gone. */
function uninstall(wish: CaptureWish): string {
  const { name } = wish.shape
  const functions = [
    ...captureNames.triggers(name),
    captureNames.image(name),
    captureNames.holder(name),
    ...wish.events.map(({ rule }) => captureNames.event(`${rule} on ${name}`)),
  ]
  const logs = buckets.map((bucket) => qualified('tidemark', captureNames.log(name, bucket)))
  return `do ${dollarQuoted(`
declare
  found record;
begin
  for found in
    select t.tgrelid::regclass as relation, t.tgname as name
      from pg_trigger t
      join pg_proc p on p.oid = t.tgfoid
      join pg_namespace s on s.oid = p.pronamespace
     where s.nspname = 'tidemark' and p.proname = any (${textArray(captureNames.triggers(name))}) and t.tgparentid = 0
     order by t.tgrelid, t.tgname
  loop
    execute format('drop trigger %I on %s', found.name, found.relation);
  end loop;
  for found in
    select p.oid::regprocedure as function
      from pg_proc p join pg_namespace s on s.oid = p.pronamespace
     where s.nspname = 'tidemark'
       and (p.proname = any (${textArray(functions)})
            or p.proname like 'event %' and p.proargtypes[0] = to_regtype(${literal(qualified('tidemark', captureNames.imageType(name)))})
            -- of renamed columns
            or ${isOfRenamed}
               and p.proargtypes[0] in (select i.proargtypes[0] from pg_proc i
                                         where i.pronamespace = p.pronamespace
                                           and i.proname = ${literal(captureNames.image(name))}))
     order by p.proname = ${literal(captureNames.image(name))}
  loop
    execute format('drop function if exists %s', found.function);
  end loop;
  drop table if exists ${logs.join(', ')};
  drop type if exists ${qualified('tidemark', captureNames.imageType(name))};
  if to_regclass('tidemark.gap') is not null then
    delete from tidemark.gap where source = ${literal(name)};
  end if;
end
`)}`
}
