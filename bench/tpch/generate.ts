import type { Queryable } from '../../src/postgres/connection.ts'
import { literal } from '../../src/postgres/identifier.ts'
import { keysAndIndexes, tables } from './schema.ts'

/** How much data, and which: the same seed gives the same rows. */
export interface DataSet {
  /** 1 is 6 M order lines; 0.01 at least, for below it the four suppliers of a part may coincide. */
  readonly scale: number
  readonly seed: number
}

/** Rows of the tables that grow with the scale. */
export interface Sizes {
  readonly suppliers: number
  readonly parts: number
  readonly customers: number
  readonly orders: number
}

/** Rows of a data set, as the specification scales them. */
export const sizesOf = ({ scale }: DataSet): Sizes => ({
  suppliers: Math.round(10_000 * scale),
  parts: Math.round(200_000 * scale),
  customers: Math.round(150_000 * scale),
  orders: Math.round(1_500_000 * scale),
})

/** A span of keys, both ends included, as a relation `k(n)`. */
const span = (first: number, last: number): string =>
  `generate_series(${first}::bigint, ${last}::bigint) as k(n)`

/** Which of the values that follow from a key; each is drawn from a hash of its own. */
const salts = {
  name1: 1,
  name2: 2,
  name3: 3,
  name4: 4,
  name5: 5,
  brand: 6,
  type: 7,
  size: 8,
  container: 9,
  nation: 10,
  phone: 11,
  balance: 12,
  segment: 13,
  comment1: 14,
  comment2: 15,
  comment3: 16,
  comment4: 17,
  quantity: 18,
  cost: 19,
  customer: 20,
  date: 21,
  priority: 22,
  clerk: 23,
  lines: 24,
  bulk: 25,
  part: 26,
  supplier: 27,
  discount: 28,
  tax: 29,
  shipped: 30,
  committed: 31,
  received: 32,
  flag: 33,
  instruction: 34,
  mode: 35,
  remark: 36,
  address: 37,
} as const

/** SQL of a number in [0, below), the same for the same key, salt and seed. */
type Draw = (key: string, salt: keyof typeof salts, below: number) => string

/** Draws by PostgreSQL's own hash of a bigint. */
const drawFrom =
  (seed: number): Draw =>
  (key, salt, below) =>
    `mod(hashint8extended(${key}, ${seed * 1000 + salts[salt]}) & 9223372036854775807, ${below})::int`

const list = (words: string): readonly string[] => words.trim().split(/\s*[|\n]\s*/)

const colors =
  list(`almond|antique|aquamarine|azure|beige|bisque|black|blanched|blue|blush|brown|burlywood
  burnished|chartreuse|chiffon|chocolate|coral|cornflower|cornsilk|cream|cyan|dark|deep|dim|dodger|drab|firebrick
  floral|forest|frosted|gainsboro|ghost|goldenrod|green|grey|honeydew|hot|indian|ivory|khaki|lace|lavender|lawn
  lemon|light|lime|linen|magenta|maroon|medium|metallic|midnight|mint|misty|moccasin|navajo|navy|olive|orange
  orchid|pale|papaya|peach|peru|pink|plum|powder|puff|purple|red|rose|rosy|royal|saddle|salmon|sandy|seashell
  sienna|sky|slate|smoke|snow|spring|steel|tan|thistle|tomato|turquoise|violet|wheat|white|yellow`)
const types = list('STANDARD|SMALL|MEDIUM|LARGE|ECONOMY|PROMO').flatMap((size) =>
  list('ANODIZED|BURNISHED|PLATED|POLISHED|BRUSHED').flatMap((finish) =>
    list('TIN|NICKEL|BRASS|STEEL|COPPER').map((metal) => `${size} ${finish} ${metal}`),
  ),
)
const containers = list('SM|LG|MED|JUMBO|WRAP').flatMap((size) =>
  list('CASE|BOX|BAG|JAR|PKG|PACK|CAN|DRUM').map((kind) => `${size} ${kind}`),
)
const segments = list('AUTOMOBILE|BUILDING|FURNITURE|MACHINERY|HOUSEHOLD')
const priorities = list('1-URGENT|2-HIGH|3-MEDIUM|4-NOT SPECIFIED|5-LOW')
const instructions = list('DELIVER IN PERSON|COLLECT COD|NONE|TAKE BACK RETURN')
const modes = list('REG AIR|AIR|RAIL|SHIP|TRUCK|MAIL|FOB')
const words =
  list(`furiously|carefully|quickly|blithely|slyly|silent|final|pending|regular|express|bold|even
  ironic|unusual|packages|deposits|accounts|foxes|ideas|theodolites|pinto beans|instructions|dependencies
  platelets|sleep|wake|nag|haggle|cajole|detect|integrate|boost|above the|after the|among the|according to the`)
const nations =
  list(`ALGERIA 0|ARGENTINA 1|BRAZIL 1|CANADA 1|EGYPT 4|ETHIOPIA 0|FRANCE 3|GERMANY 3|INDIA 2
  INDONESIA 2|IRAN 4|IRAQ 4|JAPAN 2|JORDAN 4|KENYA 0|MOROCCO 0|MOZAMBIQUE 0|PERU 1|CHINA 2|ROMANIA 3
  SAUDI ARABIA 4|VIETNAM 2|RUSSIA 3|UNITED KINGDOM 3|UNITED STATES 1`)
const regions = list('AFRICA|AMERICA|ASIA|EUROPE|MIDDLE EAST')

/** SQL of one of these words. */
const oneOf = (from: readonly string[], drawn: (below: number) => string): string =>
  `(array[${from.map(literal).join(',')}])[1 + ${drawn(from.length)}]`

/** The SQL of the values that the generator and the changes to its data share. */
export interface Values {
  readonly draw: Draw
  readonly word: (key: string, salt: keyof typeof salts) => string
  readonly phone: (key: string, nation: string) => string
  readonly balance: (key: string) => string
  readonly segment: (key: string) => string
  readonly brand: (key: string) => string
  readonly type: (key: string) => string
  readonly container: (key: string) => string
  readonly partName: (key: string) => string
  readonly priority: (key: string) => string
  readonly mode: (key: string) => string
  readonly instruction: (key: string) => string
  readonly orderComment: (key: string) => string
  readonly supplierComment: (key: string) => string
}

/** Values that follow from a key, as SQL. */
export function valuesFrom(seed: number): Values {
  const draw = drawFrom(seed)
  const word: Values['word'] = (key, salt) => oneOf(words, (below) => draw(key, salt, below))
  const three = (key: string): string =>
    `${word(key, 'comment1')} || ' ' || ${word(key, 'comment2')} || ' ' || ${word(key, 'comment3')}`
  return {
    draw,
    word,
    phone: (key, nation) =>
      `(${nation} + 10) || '-' || (100 + ${draw(key, 'phone', 900)}) || '-' ||
       (100 + ${draw(key, 'address', 900)}) || '-' || (1000 + ${draw(key, 'comment4', 9000)})`,
    balance: (key) => `(${draw(key, 'balance', 1_099_999)} - 99999)::numeric / 100`,
    segment: (key) => oneOf(segments, (below) => draw(key, 'segment', below)),
    brand: (key) =>
      `'Brand#' || (1 + ${draw(key, 'brand', 25)} / 5) || (1 + ${draw(key, 'brand', 25)} % 5)`,
    type: (key) => oneOf(types, (below) => draw(key, 'type', below)),
    container: (key) => oneOf(containers, (below) => draw(key, 'container', below)),
    partName: (key) =>
      (['name1', 'name2', 'name3', 'name4', 'name5'] as const)
        .map((salt) => oneOf(colors, (below) => draw(key, salt, below)))
        .join(` || ' ' || `),
    priority: (key) => oneOf(priorities, (below) => draw(key, 'priority', below)),
    mode: (key) => oneOf(modes, (below) => draw(key, 'mode', below)),
    instruction: (key) => oneOf(instructions, (below) => draw(key, 'instruction', below)),
    // One in a hundred orders is what query 13 leaves out.
    orderComment: (key) => `case when ${draw(key, 'remark', 100)} = 0
      then ${word(key, 'comment1')} || ' special ' || ${word(key, 'comment2')} || ' requests'
      else ${three(key)} || ' ' || ${word(key, 'comment4')} end`,
    // One in two hundred suppliers has complaints, which query 16 leaves out; as many are recommended.
    supplierComment: (key) => `case ${draw(key, 'remark', 200)}
      when 0 then ${word(key, 'comment1')} || ' Customer ' || ${word(key, 'comment2')} || ' Complaints'
      when 1 then ${word(key, 'comment1')} || ' Customer ' || ${word(key, 'comment2')} || ' Recommends'
      else ${three(key)} || ' ' || ${word(key, 'comment4')} end`,
  }
}

/** The last day that an order may have, as days after 1992-01-01: all its lines arrive within 1998. */
const orderDays = 2406

/** Orders are dated as if this were today: what is shipped later is still open. */
const today = `date '1995-06-17'`

/** One in so many orders is one of bulk, of more than 300 pieces: those that query 18 is after. */
const bulkEvery = 3_000

/** The supplier of a part, the i-th of four, by the formula of the specification. */
const supplierOf = (part: string, i: string, suppliers: number): string =>
  `(${part} + ${i} * (${suppliers} / 4 + (${part} - 1) / ${suppliers})) % ${suppliers} + 1`

/** Order lines of orders `first` to `last`, as a query with the columns of `lineitem`. */
function linesSql(data: DataSet, first: number, last: number): string {
  const { draw, word, mode, instruction } = valuesFrom(data.seed)
  const { parts, suppliers } = sizesOf(data)
  const bulk = `${draw('k.n', 'bulk', bulkEvery)} = 0`
  return `
select l.n, l.part, ${supplierOf('l.part', 'l.nth', suppliers)}, l.line, l.quantity,
  l.quantity * (90000 + l.part / 10 % 20001 + 100 * (l.part % 1000)) / 100, l.discount, l.tax,
  case when l.shipped + l.on_the_way > ${today} then 'N' when ${draw('l.id', 'flag', 2)} = 0 then 'R' else 'A' end,
  case when l.shipped > ${today} then 'O' else 'F' end,
  l.shipped, l.committed, l.shipped + l.on_the_way, ${instruction('l.id')}, ${mode('l.id')},
  ${word('l.id', 'comment1')} || ' ' || ${word('l.id', 'comment2')}
from (
  select o.n, o.id, o.line, o.ordered + 1 + ${draw('o.id', 'shipped', 121)} as shipped,
    o.ordered + 30 + ${draw('o.id', 'committed', 61)} as committed, 1 + ${draw('o.id', 'received', 30)} as on_the_way,
    1 + ${draw('o.id', 'part', parts)} as part, ${draw('o.id', 'supplier', 4)} as nth,
    case when o.bulk then 43 + ${draw('o.id', 'quantity', 8)} else 1 + ${draw('o.id', 'quantity', 50)} end::numeric as quantity,
    ${draw('o.id', 'discount', 11)}::numeric / 100 as discount, ${draw('o.id', 'tax', 9)}::numeric / 100 as tax
  from (
    select k.n, k.n * 8 + line as id, line, ${bulk} as bulk, date '1992-01-01' + ${draw('k.n', 'date', orderDays)} as ordered
    from ${span(first, last)},
      generate_series(1, case when ${bulk} then 7 else 1 + ${draw('k.n', 'lines', 7)} end) line
  ) o
) l`
}

/** Orders `first` to `last`, as a query with the columns of `orders`; `lines` is where their lines are. */
function ordersSql(data: DataSet, span_: readonly [number, number], lines: string): string {
  const { draw, priority, orderComment } = valuesFrom(data.seed)
  const { customers } = sizesOf(data)
  const two = Math.floor((customers * 2) / 3)
  // No customer whose number is a multiple of three ever orders: query 22 is after these.
  const customer = `${draw('k.n', 'customer', two)} / 2 * 3 + ${draw('k.n', 'customer', two)} % 2 + 1`
  return `
select k.n, ${customer},
  case when l.closed then 'F' when l.open then 'O' else 'P' end, l.total,
  date '1992-01-01' + ${draw('k.n', 'date', orderDays)}, ${priority('k.n')},
  'Clerk#' || lpad((1 + ${draw('k.n', 'clerk', Math.max(1, Math.round(1000 * data.scale)))})::text, 9, '0'), 0,
  ${orderComment('k.n')}
from ${span(...span_)}
join (
  select l_orderkey, round(sum(l_extendedprice * (1 + l_tax) * (1 - l_discount)), 2) as total,
    bool_and(l_linestatus = 'F') as closed, bool_and(l_linestatus = 'O') as open
  from ${lines} group by l_orderkey
) l on l.l_orderkey = k.n`
}

const lineColumns = `l_orderkey, l_partkey, l_suppkey, l_linenumber, l_quantity, l_extendedprice, l_discount, l_tax,
  l_returnflag, l_linestatus, l_shipdate, l_commitdate, l_receiptdate, l_shipinstruct, l_shipmode, l_comment`

/** Statements that add orders `first` to `last` with their lines. */
export function insertOrdersSql(data: DataSet, first: number, last: number): readonly string[] {
  const lines = linesSql(data, first, last)
  return [
    `insert into orders ${ordersSql(data, [first, last], `(${lines}) lines (${lineColumns})`)}`,
    `insert into lineitem ${lines}`,
  ]
}

/** So many parts are what queries 17, 19 and 20 look for, of which little data would have none. */
const soughtParts = 40

/** A statement that adds parts `first` to `last`. */
export function insertPartsSql({ seed }: DataSet, first: number, last: number): string {
  const { draw, word, brand, type, container, partName } = valuesFrom(seed)
  const sought = `k.n <= ${soughtParts}`
  const brandNow = `case when ${sought} then 'Brand#23' else ${brand('k.n')} end`
  return `insert into part
select k.n, case when ${sought} then 'forest green' else ${partName('k.n')} end, 'Manufacturer#' || substr(${brandNow}, 7, 1), ${brandNow}, ${type('k.n')},
  1 + ${draw('k.n', 'size', 50)} / case when ${sought} then 5 else 1 end,
  case when ${sought} then 'MED BOX' else ${container('k.n')} end,
  (90000 + k.n / 10 % 20001 + 100 * (k.n % 1000))::numeric / 100, left(${word('k.n', 'comment1')}, 23)
from ${span(first, last)}`
}

/** A statement that adds the four suppliers of parts `first` to `last`. */
export function insertPartSuppliersSql(data: DataSet, first: number, last: number): string {
  const { draw, word } = valuesFrom(data.seed)
  const comment = (['comment1', 'comment2', 'comment3', 'comment4', 'remark', 'address'] as const)
    .map((salt) => word('p.id', salt))
    .join(` || ' ' || `)
  return `insert into partsupp
select p.n, ${supplierOf('p.n', 'p.nth', sizesOf(data).suppliers)}, 1 + ${draw('p.id', 'quantity', 9999)},
  (100 + ${draw('p.id', 'cost', 99_901)})::numeric / 100, ${comment}
from (select k.n, nth, k.n * 4 + nth as id from ${span(first, last)}, generate_series(0, 3) nth) p`
}

/** A statement that adds suppliers `first` to `last`. */
export function insertSuppliersSql({ seed }: DataSet, first: number, last: number): string {
  const { draw, word, phone, balance, supplierComment } = valuesFrom(seed)
  // So many that each nation has some, however little data there is.
  const nation = `case when k.n <= 100 then k.n % 25 else ${draw('k.n', 'nation', 25)} end`
  return `insert into supplier
select k.n, 'Supplier#' || lpad(k.n::text, 9, '0'), ${draw('k.n', 'address', 999)} || ' ' || ${word('k.n', 'comment4')},
  ${nation}, ${phone('k.n', nation)}, ${balance('k.n')}, ${supplierComment('k.n')}
from ${span(first, last)}`
}

/** A statement that adds customers `first` to `last`. */
export function insertCustomersSql({ seed }: DataSet, first: number, last: number): string {
  const { draw, word, phone, balance, segment, orderComment } = valuesFrom(seed + 1)
  const nation = draw('k.n', 'nation', 25)
  return `insert into customer
select k.n, 'Customer#' || lpad(k.n::text, 9, '0'), ${draw('k.n', 'address', 999)} || ' ' || ${word('k.n', 'comment4')},
  ${nation}, ${phone('k.n', nation)}, ${balance('k.n')}, ${segment('k.n')}, ${orderComment('k.n')}
from ${span(first, last)}`
}

const namesSql = (): readonly string[] => [
  `insert into region values ${regions
    .map((name, key) => `(${key}, ${literal(name)}, 'region of ${name.toLowerCase()}')`)
    .join(', ')}`,
  `insert into nation values ${nations
    .map((nation, key) => {
      const [, name = '', region = ''] = /^(.*) (\d)$/.exec(nation) ?? []
      return `(${key}, ${literal(name)}, ${region}, 'nation of ${name.toLowerCase()}')`
    })
    .join(', ')}`,
]

/**
 * Makes the eight tables in the search path and fills them; scale 1 takes a few minutes.
 *
 * Not dbgen: the values have the domains, distributions and correlations of the specification as far as
 * the 22 queries look at them, order keys are dense, comments are shorter.
 */
export async function loadTpch(
  database: Queryable,
  data: DataSet,
  onStep: (statement: string) => void = () => undefined,
): Promise<void> {
  const sizes = sizesOf(data)
  const statements = [
    tables,
    ...namesSql(),
    insertPartsSql(data, 1, sizes.parts),
    insertSuppliersSql(data, 1, sizes.suppliers),
    insertPartSuppliersSql(data, 1, sizes.parts),
    insertCustomersSql(data, 1, sizes.customers),
    `insert into lineitem ${linesSql(data, 1, sizes.orders)}`,
    `insert into orders ${ordersSql(data, [1, sizes.orders], 'lineitem')}`,
    ...keysAndIndexes,
    'vacuum analyze',
  ]
  for (const statement of statements) {
    onStep(statement)
    await database.query(statement)
  }
}
