import type { DataSet } from './generate.ts'
import {
  insertCustomersSql,
  insertOrdersSql,
  insertPartSuppliersSql,
  insertPartsSql,
  insertSuppliersSql,
  sizesOf,
  valuesFrom,
} from './generate.ts'

/** What has been added to a data set since it was loaded; kept by the caller from batch to batch. */
export interface Added {
  orders: number
  parts: number
  customers: number
  suppliers: number
}

/** Nothing added yet. */
export const nothingAdded = (): Added => ({ orders: 0, parts: 0, customers: 0, suppliers: 0 })

/** A data set that is being changed. */
export interface Changing {
  readonly data: DataSet
  readonly added: Added
  /** Numbers in [0, 1): the same ones make the same batches. */
  readonly random: () => number
}

/** SQL of the keys of `count` rows, drawn by hash: the same for the same salt and rows. */
const someKeys = (table: string, key: string, count: number, salt: number): string =>
  `(select ${key} from ${table} order by hashint8extended(${key}, ${salt}), ${key} limit ${count})`

/**
 * A change of this many orders, as the specification's refresh functions have it and a little more: a
 * third is new, a third is deleted with its lines, a third gets another price, priority and first line.
 */
export function changeOrders(changing: Changing, count: number): readonly string[] {
  const third = Math.ceil(count / 3)
  return [
    ...insertOrders(changing, third),
    ...deleteOrders(changing, third),
    ...updateOrders(changing, count - 2 * third),
  ]
}

/**
 * Updates of this share of the rows of part, partsupp, supplier and customer: columns that queries compute with
 * or choose by, a different one for each table.
 */
export function changeOtherTables({ data, random }: Changing, share: number): readonly string[] {
  const { parts, suppliers, customers } = sizesOf(data)
  const salt = salted(random)
  const { draw, balance, type } = valuesFrom(salt)
  const rows = (size: number): number => Math.max(1, Math.round(size * share))
  return [
    `update part set p_type = ${type('p_partkey')}
     where p_partkey in ${someKeys('part', 'p_partkey', rows(parts), salt)}`,
    `update partsupp set ps_supplycost = (100 + ${draw('ps_partkey', 'cost', 99_901)})::numeric / 100
     where ps_partkey in ${someKeys('part', 'p_partkey', rows(parts), salt + 1)}`,
    `update supplier set s_acctbal = ${balance('s_suppkey')}
     where s_suppkey in ${someKeys('supplier', 's_suppkey', rows(suppliers), salt)}`,
    `update customer set c_acctbal = ${balance('c_custkey')}
     where c_custkey in ${someKeys('customer', 'c_custkey', rows(customers), salt)}`,
  ]
}

function insertOrders({ data, added }: Changing, count: number): readonly string[] {
  const first = sizesOf(data).orders + added.orders + 1
  added.orders += count
  return insertOrdersSql(data, first, first + count - 1)
}

function deleteOrders({ random }: Changing, count: number): readonly string[] {
  return [
    'drop table if exists pg_temp.gone',
    `create temporary table gone as ${someKeys('orders', 'o_orderkey', count, salted(random))}`,
    'delete from lineitem using gone where l_orderkey = gone.o_orderkey',
    'delete from orders using gone where orders.o_orderkey = gone.o_orderkey',
  ]
}

function updateOrders(changing: Changing, count: number): readonly string[] {
  if (count === 0) return []
  const salt = salted(changing.random)
  const { draw, priority } = valuesFrom(salt)
  return [
    'drop table if exists pg_temp.altered',
    `create temporary table altered as ${someKeys('orders', 'o_orderkey', count, salt)}`,
    `update lineitem set l_quantity = 1 + ${draw('l_orderkey', 'quantity', 50)},
       l_discount = ${draw('l_orderkey', 'discount', 11)}::numeric / 100
     from altered where l_orderkey = altered.o_orderkey and l_linenumber = 1`,
    `update orders set o_totalprice = o_totalprice + ${draw('orders.o_orderkey', 'cost', 1000)},
       o_orderpriority = ${priority('orders.o_orderkey')}
     from altered where orders.o_orderkey = altered.o_orderkey`,
  ]
}

const salted = (random: () => number): number => Math.floor(random() * 1_000_000)

const upTo = (random: () => number, most: number): number => 1 + Math.floor(random() * most)

type Change = (changing: Changing) => readonly string[]

/** An update of a few rows of a table; `set` gives the assignments from values that follow from the key. */
function updating(
  table: string,
  key: string,
  set: (values: ReturnType<typeof valuesFrom>, random: () => number) => string,
): Change {
  return ({ random }) => {
    const salt = salted(random)
    return [
      `update ${table} set ${set(valuesFrom(salt), random)}
       where ${key} in ${someKeys(table, key, upTo(random, 8), salt)}`,
    ]
  }
}

/** One of the things that may be done to a row: whatever else the query looks at stays as it is. */
const either = (random: () => number, choices: readonly string[]): string =>
  choices[Math.floor(random() * choices.length)] ?? ''

const updatingLines: Change = ({ random }) => {
  const salt = salted(random)
  const { draw, mode, instruction, word } = valuesFrom(salt)
  const key = 'l_orderkey'
  const set = either(random, [
    `l_quantity = 1 + ${draw(key, 'quantity', 50)}`,
    // To the size of an order that query 18 is after, and back when it is drawn again.
    'l_quantity = 50',
    `l_extendedprice = l_extendedprice * 1.1, l_discount = ${draw(key, 'discount', 11)}::numeric / 100`,
    `l_shipdate = l_shipdate + ${draw(key, 'shipped', 61)} - 30`,
    `l_commitdate = l_commitdate + ${draw(key, 'committed', 61)} - 30`,
    `l_receiptdate = l_shipdate + 1 + ${draw(key, 'received', 60)}`,
    `l_shipmode = ${mode(key)}, l_shipinstruct = ${instruction(key)}`,
    `l_returnflag = case l_returnflag when 'R' then 'A' else 'R' end, l_linestatus = 'F'`,
    `l_tax = ${draw(key, 'tax', 9)}::numeric / 100, l_comment = ${word(key, 'comment1')}`,
  ])
  const keys = someKeys('orders', 'o_orderkey', upTo(random, 8), salt)
  return [`update lineitem set ${set} where l_orderkey in ${keys}`]
}

const swapping =
  (table: string, key: string, name: string, count: number): Change =>
  ({ random }) => {
    const one = Math.floor(random() * count)
    const other = (one + 1 + Math.floor(random() * (count - 1))) % count
    return [
      `update ${table} set ${name} = swapped.${name}
       from ${table} swapped where ${table}.${key} in (${one}, ${other})
         and swapped.${key} in (${one}, ${other}) and swapped.${key} <> ${table}.${key}`,
    ]
  }

const changes: readonly Change[] = [
  (changing) => insertOrders(changing, upTo(changing.random, 12)),
  (changing) => deleteOrders(changing, upTo(changing.random, 12)),
  (changing) => updateOrders(changing, upTo(changing.random, 12)),
  updatingLines,
  updatingLines,
  updating('orders', 'o_orderkey', ({ draw, priority, orderComment }, random) =>
    either(random, [
      `o_orderdate = o_orderdate + ${draw('o_orderkey', 'date', 361)} - 180`,
      `o_orderpriority = ${priority('o_orderkey')}, o_comment = ${orderComment('o_orderkey')}`,
      `o_comment = 'the special packages and other requests'`,
      `o_totalprice = o_totalprice * 1.5, o_shippriority = 1 - o_shippriority`,
      `o_orderstatus = case o_orderstatus when 'F' then 'P' else 'F' end`,
      `o_custkey = (select max(c_custkey) - ${draw('o_orderkey', 'customer', 50)} from customer where c_custkey <= 1000)`,
    ]),
  ),
  // Prices that bring orders to the top of queries 3, 10 and 18 and take them away again.
  ({ random }) => {
    const factor = either(random, ['3', '0.3'])
    const orders = someKeys(
      `orders where o_orderdate between date '1995-01-01' and date '1995-03-14'
         or o_orderdate between date '1993-10-01' and date '1993-12-31' or o_totalprice > 500000`,
      'o_orderkey',
      20,
      salted(random),
    )
    return [
      'drop table if exists pg_temp.dear',
      `create temporary table dear as ${orders}`,
      `update lineitem set l_extendedprice = l_extendedprice * ${factor} from dear where l_orderkey = dear.o_orderkey`,
      `update orders set o_totalprice = o_totalprice * ${factor} from dear where orders.o_orderkey = dear.o_orderkey`,
    ]
  },
  updating('customer', 'c_custkey', ({ draw, phone, balance, segment }, random) => {
    const nation = draw('c_custkey', 'nation', 25)
    return either(random, [
      `c_nationkey = ${nation}, c_phone = ${phone('c_custkey', nation)}`,
      `c_acctbal = ${balance('c_custkey')}`,
      `c_mktsegment = ${segment('c_custkey')}, c_address = 'moved'`,
    ])
  }),
  updating('part', 'p_partkey', ({ brand, type, container, partName }, random) =>
    either(random, [
      `p_brand = ${brand('p_partkey')}, p_container = ${container('p_partkey')}`,
      `p_brand = 'Brand#23', p_container = 'MED BOX'`,
      `p_type = ${type('p_partkey')}, p_size = 15`,
      `p_name = ${partName('p_partkey')}`,
      `p_name = 'forest green ' || left(p_name, 30), p_retailprice = p_retailprice + 1`,
    ]),
  ),
  updating('supplier', 's_suppkey', ({ draw, phone, balance, supplierComment }, random) => {
    const nation = draw('s_suppkey', 'nation', 25)
    return either(random, [
      `s_nationkey = ${nation}, s_phone = ${phone('s_suppkey', nation)}`,
      `s_acctbal = ${balance('s_suppkey')}`,
      `s_comment = ${supplierComment('s_suppkey')}`,
      `s_comment = 'Customer after Customer Complaints', s_address = 'elsewhere'`,
    ])
  }),
  updating('partsupp', 'ps_partkey', ({ draw }, random) =>
    either(random, [
      `ps_availqty = 1 + ${draw('ps_partkey * 4 + ps_suppkey', 'quantity', 9999)}`,
      `ps_supplycost = (100 + ${draw('ps_partkey * 4 + ps_suppkey', 'cost', 99_901)})::numeric / 100`,
      `ps_comment = 'another comment'`,
    ]),
  ),
  // Few suppliers make a difference to query 8: those of one type of part, by whether they are Brazilian.
  ({ random }) => {
    const sold = `lineitem join part on p_partkey = l_partkey join orders on o_orderkey = l_orderkey
       where p_type = 'ECONOMY ANODIZED STEEL' and o_orderdate between date '1995-01-01' and date '1996-12-31'`
    return [
      `update supplier set s_nationkey = (select n_nationkey from nation where n_name = '${either(random, ['BRAZIL', 'PERU'])}')
       where s_suppkey in ${someKeys(sold, 'l_suppkey', 5, salted(random))}`,
    ]
  },
  // Query 15 shows the supplier alone that has earned most in a quarter.
  ({ random }) => [
    `update lineitem set l_extendedprice = l_extendedprice * ${either(random, ['1.1', '0.9'])}
     where l_shipdate >= date '1996-01-01' and l_shipdate < date '1996-04-01' and l_suppkey in (
       select l_suppkey from lineitem where l_shipdate >= date '1996-01-01' and l_shipdate < date '1996-04-01'
       group by l_suppkey order by sum(l_extendedprice * (1 - l_discount)) desc, l_suppkey limit 2)`,
  ],
  // Large orders, of which query 18 shows those of more than 300 pieces.
  ({ random }) => [
    `update lineitem set l_quantity = ${either(random, ['50', '10'])}
     where l_orderkey in ${someKeys('lineitem where l_linenumber = 7', 'l_orderkey', 3, salted(random))}`,
  ],
  // Parts of which query 19 asks brand, container and size, and how their lines were sent.
  ({ random }) => {
    const parts = someKeys('part where p_partkey < 40', 'p_partkey', 3, salted(random))
    return [
      `update part set p_brand = 'Brand#12', p_container = 'SM CASE', p_size = 3 where p_partkey in ${parts}`,
      `update lineitem set l_quantity = 5, l_shipmode = 'AIR',
         l_shipinstruct = ${either(random, [`'DELIVER IN PERSON'`, `'NONE'`])}
       where l_partkey in ${parts}`,
    ]
  },
  // Who in Canada has too many parts of one name, query 20.
  ({ random }) => {
    const held = `partsupp where ps_partkey in (select p_partkey from part where p_name like 'forest%')
       and (ps_partkey, ps_suppkey) in (
         select l_partkey, l_suppkey from lineitem where l_shipdate >= date '1994-01-01' and l_shipdate < date '1995-01-01')`
    const suppliers = someKeys(held, 'ps_suppkey', 3, salted(random))
    return [
      `update supplier set s_nationkey = (select n_nationkey from nation where n_name = 'CANADA') where s_suppkey in ${suppliers}`,
      `update partsupp set ps_availqty = ${either(random, ['1', '9999'])}
       where ps_suppkey in ${suppliers} and ps_partkey in (select p_partkey from part where p_name like 'forest%')`,
    ]
  },
  // Lines of one country's suppliers that are late or not, query 21.
  ({ random }) => [
    `update lineitem set l_receiptdate = l_commitdate + ${either(random, ['1', '-1'])}
     where l_orderkey % 40 = ${salted(random)} % 40 and l_suppkey in (
       select s_suppkey from supplier join nation on n_nationkey = s_nationkey where n_name = 'SAUDI ARABIA')`,
  ],
  // What few suppliers have is all that query 11 looks at.
  ({ random }) => [
    `update partsupp set ps_supplycost = (100 + ${valuesFrom(salted(random)).draw('ps_partkey * 4 + ps_suppkey', 'cost', 99_901)})::numeric / 100
     where ps_suppkey in (select min(s_suppkey) from supplier join nation on n_nationkey = s_nationkey where n_name = 'GERMANY')`,
  ],
  swapping('nation', 'n_nationkey', 'n_name', 25),
  swapping('nation', 'n_nationkey', 'n_regionkey', 25),
  swapping('region', 'r_regionkey', 'r_name', 5),
  ({ random }) => [`update region set r_comment = 'as of ${salted(random)}'`],
  ({ random }) => [`update nation set n_comment = 'as of ${salted(random)}' where n_nationkey < 5`],
  ({ data, added }) => {
    const first = sizesOf(data).parts + added.parts + 1
    added.parts += 3
    return [
      insertPartsSql(data, first, first + 2),
      insertPartSuppliersSql(data, first, first + 2),
      // No order names a part that came later, so that some of them may go again.
      `delete from partsupp where ps_partkey = ${first}`,
      `delete from part where p_partkey = ${first}`,
    ]
  },
  ({ data, added }) => {
    const first = sizesOf(data).customers + added.customers + 1
    added.customers += 3
    return [
      insertCustomersSql(data, first, first + 2),
      // Customers whose number is a multiple of three never order.
      `delete from customer where c_custkey = ${Math.ceil(added.customers / 3) * 3}
         and not exists (select from orders where o_custkey = c_custkey)`,
    ]
  },
  ({ data, added }) => {
    const first = sizesOf(data).suppliers + added.suppliers + 1
    added.suppliers += 2
    return [
      insertSuppliersSql(data, first, first + 1),
      `delete from supplier where s_suppkey = ${first + 1}`,
    ]
  },
]

/**
 * A random batch: transactions of statements that insert and delete orders with their lines and update
 * every table. Small, so that many of them leave the data much as it was.
 */
export function randomBatch(changing: Changing): readonly (readonly string[])[] {
  const { random } = changing
  return Array.from({ length: upTo(random, 3) }, () =>
    Array.from({ length: upTo(random, 3) }, () => {
      const change = changes[Math.floor(random() * changes.length)]
      return change?.(changing) ?? []
    }).flat(),
  )
}
