import type { Database } from '../../src/postgres/connection.ts'
import type { Compared } from './compare.ts'

const lineStatuses = `(array['placed', 'paid', 'shipped', 'shipped', 'shipped', 'cancelled'])`

/** SQL of a number in [0, below) that follows from a key. */
const draw = (key: string, salt: number, below: number): string =>
  `mod(hashint8extended(${key}, ${salt}) & 9223372036854775807, ${below})::int`

const sizesOf = (rowCount: number): { readonly customers: number; readonly products: number } => ({
  customers: Math.max(100, Math.round(rowCount / 20)),
  products: Math.max(100, Math.round(rowCount / 200)),
})

/** The columns of an order line but for its key, from an expression that is different for each. */
function lineValues(key: string, rowCount: number, salt: number): string {
  const { customers, products } = sizesOf(rowCount)
  return `1 + ${draw(key, salt + 1, customers)}, 1 + ${draw(key, salt + 2, products)},
    date '2025-01-01' + ${draw(key, salt + 3, 365)}, 1 + ${draw(key, salt + 4, 9)},
    (100 + ${draw(key, salt + 5, 99_900)})::numeric / 100, ${lineStatuses}[1 + ${draw(key, salt + 6, 6)}]`
}

/** Makes customers, products and order lines: 20 lines a customer, 200 a product, over a year. */
export async function loadOrderLines(database: Database, rowCount: number): Promise<void> {
  const { customers, products } = sizesOf(rowCount)
  const statements = [
    `create table customers (id int not null, name text not null, region text not null, tenant_id int not null)`,
    `create table products (id int not null, name text not null, category text not null)`,
    `create table order_lines (id bigint not null, customer_id int not null, product_id int not null,
       placed_on date not null, quantity int not null, amount numeric(12, 2) not null, status text not null)`,
    `insert into customers
     select g, 'customer ' || g, 'region ' || ${draw('g', 1, 20)}, 1 + ${draw('g', 2, 200)}
     from generate_series(1::bigint, ${customers}) g`,
    `insert into products select g, 'product ' || g, 'category ' || ${draw('g', 3, 50)}
     from generate_series(1::bigint, ${products}) g`,
    `insert into order_lines select g, ${lineValues('g', rowCount, 10)}
     from generate_series(1::bigint, ${rowCount}) g`,
    'alter table customers add primary key (id)',
    'alter table products add primary key (id)',
    'alter table order_lines add primary key (id)',
    'alter table order_lines add foreign key (customer_id) references customers',
    'alter table order_lines add foreign key (product_id) references products',
    'create index on order_lines (customer_id)',
    'create index on order_lines (product_id)',
    'create index on order_lines (placed_on)',
    'create sequence next_line',
    `select setval('next_line', ${rowCount})`,
    'vacuum analyze',
  ]
  for (const statement of statements) await database.query(statement)
}

/** A change of so many lines; another salt, other lines. */
export interface LineChange {
  readonly rowCount: number
  readonly changed: number
  readonly salt: number
}

/** Changes lines in one transaction, and the number of lines stays about the same. */
export async function changeLines(database: Database, change: LineChange): Promise<void> {
  const { rowCount, changed, salt } = change
  const updated = changed === 1 ? 1 : Math.round(changed * 0.4)
  const moved = Math.floor(changed * 0.2)
  const added = changed === 1 ? 0 : Math.round(changed * 0.2)
  const removed = changed - updated - moved - added
  await database.transaction(async ({ query }) => {
    // Drawn by key, so that few of many rows are found by the index, then by number of the row as drawn.
    await query(`create temporary table drawn on commit drop as
      select row_number() over () as n, id from (
        select distinct l.id
        from generate_series(1, ${Math.ceil(changed * 1.3) + 20}) g
        join order_lines l on l.id = 1 + ${draw(`g + ${salt * 7_919_000}`, 21, rowCount)}
        limit ${changed}) d`)
    await query('analyze drawn')
    await query(`update order_lines l set amount = (100 + ${draw('l.id', salt + 22, 99_900)})::numeric / 100
      from drawn d where d.id = l.id and d.n <= ${updated}`)
    await query(`update order_lines l set customer_id = 1 + ${draw('l.id', salt + 23, sizesOf(rowCount).customers)}
      from drawn d where d.id = l.id and d.n > ${updated} and d.n <= ${updated + moved}`)
    await query(`delete from order_lines l using drawn d
      where d.id = l.id and d.n > ${updated + moved} and d.n <= ${updated + moved + removed}`)
    await query(`insert into order_lines select id, ${lineValues('id', rowCount, salt + 30)}
      from (select nextval('next_line') as id from generate_series(1, ${added})) k`)
  })
}

/** The seven views of the bench, from one table grouped to five stages of CTEs. */
export const orderLineViews: readonly Compared[] = [
  {
    name: 'total_by_product_and_month',
    key: ['product_id', 'month'],
    sql: `select product_id, extract(month from placed_on) as month, count(*) as lines, sum(amount) as total
from order_lines
group by product_id, extract(month from placed_on)`,
  },
  {
    name: 'three_way_join',
    key: ['region', 'category', 'month'],
    sql: `select c.region, p.category, extract(month from l.placed_on) as month, count(*) as lines, sum(l.amount) as total,
  avg(l.quantity) as quantity
from order_lines l
join customers c on c.id = l.customer_id
join products p on p.id = l.product_id
group by c.region, p.category, extract(month from l.placed_on)`,
  },
  {
    name: 'min_max',
    key: ['customer_id'],
    sql: `select customer_id, min(amount) as least, max(amount) as most, max(placed_on) as last_on
from order_lines
group by customer_id`,
  },
  {
    name: 'left_join_count_distinct',
    key: ['id'],
    sql: `select c.id, c.name, count(distinct l.product_id) as products, count(l.id) as lines
from customers c
left join order_lines l on l.customer_id = c.id and l.status <> 'cancelled'
group by c.id, c.name`,
  },
  {
    name: 'window_rank',
    key: ['id'],
    sql: `select id, customer_id, amount, rank() over (partition by customer_id order by amount desc) as place
from order_lines`,
  },
  {
    name: 'top_10',
    key: ['customer_id'],
    sql: `select customer_id, sum(amount) as total
from order_lines
group by customer_id
order by total desc, customer_id
limit 10`,
  },
  {
    name: 'five_ctes',
    key: ['region'],
    sql: `with valid as (
  select customer_id, placed_on, amount from order_lines where status <> 'cancelled'),
daily as (
  select customer_id, placed_on, sum(amount) as total, count(*) as lines from valid group by customer_id, placed_on),
best as (
  select customer_id, max(total) as best_day, count(*) as days, sum(total) as total from daily group by customer_id),
placed as (
  select b.*, c.region from best b join customers c on c.id = b.customer_id),
regions as (
  select region, count(*) as customers, sum(total) as total, max(best_day) as best_day, sum(days) as days
  from placed group by region)
select region, customers, total, best_day, days from regions`,
  },
]
