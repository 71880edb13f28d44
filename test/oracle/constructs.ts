/**
 * What is to be maintained incrementally (issue 3, item 2), by the names under which queries note that they hold it.
 * Each must occur, with rows, in one case of a hundred.
 */
export const constructs: readonly string[] = [
  // Projections, casts, expressions.
  'projected expression', 'stable function', 'user function', 'cast', 'case', 'coalesce', 'nullif', 'json operators',
  'array operators', 'greatest and least', 'is distinct from', 'row comparison', 'any of array', 'all of array',
  // Conditions.
  'where', 'and, or, not', 'is null', 'in list', 'between', 'like',
  // Joins.
  'inner join', 'left join', 'right join', 'full join', 'cross join', 'using', 'natural join', 'self join',
  'non-equi join', 'join on more than equality', 'lateral', 'full join on more than equality',
  'full join with a subquery in its condition',
  // Subqueries.
  'correlated by equality and otherwise', 'exists', 'not exists', 'in subquery', 'not in with nulls', 'not in without nulls', 'any subquery', 'all subquery',
  'scalar subquery, correlated', 'scalar subquery, uncorrelated', 'scalar subquery, order by limit 1',
  'scalar subquery in a predicate', 'subquery in the select list', 'subquery in case', 'subquery under or',
  'subquery in having', 'subquery in join condition', 'subquery in aggregate', 'subquery in grouping',
  'subquery in a subquery', 'array subquery', 'subquery in from',
  // Groups.
  'group by', 'group by expression', 'group by primary key', 'aggregate without group by', 'having', 'filter',
  'distinct', 'distinct on', 'aggregate distinct', 'aggregate order by', 'aggregate without a total order',
  'grouping sets', 'rollup', 'cube', 'grouping()',
  // Aggregates.
  'count(*)', 'count', 'count(distinct)', 'sum', 'sum of any scale', 'avg', 'min', 'max', 'bool_and', 'bool_or',
  'every', 'bit_and', 'bit_or', 'stddev', 'variance', 'corr', 'covar', 'regr', 'string_agg', 'array_agg', 'json_agg',
  'jsonb_agg', 'json_object_agg', 'jsonb_object_agg', 'percentile_cont', 'percentile_disc', 'mode', 'rank within group',
  'user-defined aggregate',
  // Windows.
  'row_number', 'rank', 'dense_rank', 'percent_rank', 'cume_dist', 'ntile', 'lag', 'lead', 'first_value', 'last_value',
  'nth_value', 'window aggregate', 'window filter', 'window without partition', 'window over aggregate',
  'aggregate over window', 'several windows', 'named window', 'frame rows', 'frame range', 'range with offset',
  'frame groups', 'frame exclude',
  // Set operations, order and limit.
  'union', 'union all', 'intersect', 'intersect all', 'except', 'except all', 'set operation of aggregates',
  'order by and limit', 'offset', 'with ties', 'limit in a subquery', 'limit of a subquery', 'limit per group',
  // Queries within queries.
  'cte', 'cte materialized', 'cte not materialized', 'cte used many times', 'cte over cte', 'with recursive',
  'all clauses at once', 'without from', 'aggregate of the query around', 'whole row',
  // Rows of other kinds.
  'values', 'generate_series', 'unnest', 'set-returning function in from', 'set-returning function in select',
  'with ordinality',
  // What is read.
  'ordinary view', 'nested ordinary view', 'view over view', 'materialized view', 'partitioned table',
  'inherited table', 'row-level security', 'only', 'partition by name',
  // Types.
  'domain', 'enum', 'range', 'citext', 'numeric of any scale', 'NaN', 'float', 'composite', 'array column',
  'json column', 'collation', 'nondeterministic collation',
  // The clock.
  'now in a predicate', 'now in an output',
] // prettier-ignore

interface Honest {
  /** What the compiler says. */
  readonly reason: RegExp
  readonly why: string
}

/**
 * Fallbacks that are no failure: docs/incremental.md says that they are not exact, or not incremental, and why. Any
 * other reason fails a hunt.
 */
const honest: readonly Honest[] = [
  { reason: /^a value is reckoned from now\(\)/, why: 'every row changes with every moment' },
  // Exact, but without a rule.
  {
    reason: /^WITH RECURSIVE that refers to the query around it/,
    why: 'it does not stand by itself',
  },
  {
    reason: /^it compares values of an extension's type/,
    why: 'CASE, NULLIF and IS DISTINCT FROM over what is computed from them name no operator',
  },
  // Beyond item 2.
  {
    reason: /^a whole row is used as a value/,
    why: 'of a subquery, where no function of JSON takes it: it is of no type',
  },
  {
    reason: /^a part of it is of type record, which no table can hold$/,
    why: 'max(record) of PostgreSQL 18 gives nothing that could be stored',
  },
  { reason: /^and the query cannot be printed again$/, why: 'beside another of these' },
]

/** Whether a view may fall back for this reason; several are parted by `; `. */
export const isHonest = (detail: string): boolean =>
  detail.split('; ').every((reason) => honest.some((each) => each.reason.test(reason)))
