import { describe, expect, it } from 'vitest'
import {
  callsIn,
  conditionOf,
  deletesIn,
  insertsIn,
  mentions,
  readName,
  readsTheClock,
  refreshesIn,
  withoutComments,
} from './scan-sql-text.ts'

describe('names in SQL', () => {
  it('are folded to lower case unless quoted', () => {
    expect(readName('Public.MV_Sales')).toEqual({ schema: 'public', name: 'mv_sales' })
    expect(readName('"Mart" . "Ventas ""2024"""')).toEqual({
      schema: 'Mart',
      name: 'Ventas "2024"',
    })
    expect(readName('año_fiscal')).toEqual({ schema: null, name: 'año_fiscal' })
  })
})

describe('REFRESH in a text', () => {
  it('is found with its view and its mode', () => {
    expect(
      refreshesIn('REFRESH MATERIALIZED VIEW CONCURRENTLY mv_a; refresh materialized view s.b'),
    ).toEqual([
      { view: { schema: null, name: 'mv_a' }, mode: 'concurrently' },
      { view: { schema: 's', name: 'b' }, mode: 'plain' },
    ])
  })

  it('has no view where the name is put together at run time', () => {
    for (const text of [
      `execute format('refresh materialized view concurrently %I', v)`,
      `execute 'refresh materialized view concurrently ' || quote_ident(v)`,
    ]) {
      expect(refreshesIn(text)).toEqual([{ view: null, mode: 'concurrently' }])
    }
  })

  it('is not found in a comment', () => {
    const text = `-- refresh materialized view a\n/* refresh materialized view b */ select '--not a comment'`
    expect(refreshesIn(withoutComments(text))).toEqual([])
    expect(withoutComments(text)).toContain(`'--not a comment'`)
  })
})

describe('DELETE in a text', () => {
  it('tells whether rows go by age, and by which', () => {
    const [one, two, three] = deletesIn(
      `delete from campaign_progress where last_updated < now() - interval '5 minutes';
       delete from only public.carts where user_id = new.user_id;
       truncate table cache_all`,
    )
    expect(one).toEqual({
      table: { schema: null, name: 'campaign_progress' },
      byAge: true,
      age: '5 minutes',
    })
    expect(two).toEqual({ table: { schema: 'public', name: 'carts' }, byAge: false, age: null })
    expect(three).toEqual({ table: { schema: null, name: 'cache_all' }, byAge: false, age: null })
  })
})

describe('other words of a text', () => {
  it('are its inserts, its calls and the relations that it speaks of', () => {
    const body = `insert into mv_refresh_triggers (priority) values ('critical'); perform a.b(1);`
    expect(insertsIn(body)).toEqual([{ schema: null, name: 'mv_refresh_triggers' }])
    expect(callsIn(body)).toContainEqual({ schema: 'a', name: 'b' })
    expect(mentions(body, 'mv_refresh_triggers')).toBe(true)
    expect(mentions(body, 'mv_refresh')).toBe(false)
  })

  it('tell whether a query asks for the time', () => {
    expect(readsTheClock('select * from t where at > (now() - $$1 d$$::interval)')).toBe(true)
    expect(readsTheClock('select * from t where day = CURRENT_DATE')).toBe(true)
    expect(readsTheClock('select known, nowhere from t')).toBe(false)
  })
})

describe('the condition of a trigger', () => {
  it('is read from WHEN, as PostgreSQL writes it back', () => {
    const trigger = `CREATE TRIGGER big AFTER INSERT ON t FOR EACH ROW WHEN (new.monto_total >= 10000::numeric) EXECUTE FUNCTION f()`
    expect(conditionOf(trigger, '')).toBe('monto_total >= 10000')
  })

  it('is read from the innermost IF around an INSERT', () => {
    const body = `begin if tg_op = 'INSERT' then if new.monto_total >= 10000 and NEW.estado = 'pagado' then insert into q default values; end if; end if; return new; end`
    expect(conditionOf(null, body)).toBe(`monto_total >= 10000 and estado = 'pagado'`)
  })

  it('is unknown where it is more than comparisons with constants', () => {
    const around = (condition: string): string =>
      `begin if ${condition} then insert into q default values; end if; return new; end`
    expect(conditionOf(null, around('new.a > 1'))).toBe('a > 1')
    expect(conditionOf(null, around('is_big(new.id)'))).toBeNull()
    expect(conditionOf(null, around('new.a > old.a'))).toBeNull()
    expect(conditionOf(null, around('new.a > 1 or new.b > 2'))).toBeNull()
    expect(
      conditionOf(
        null,
        'begin if new.a > 1 then return new; end if; insert into q values (1); end',
      ),
    ).toBeNull()
    expect(conditionOf(null, 'begin insert into q values (1); return new; end')).toBeNull()
  })
})
