/** What the examples read. */
export const featureSchema = `
create extension if not exists citext;
create type mood as enum ('sad', 'ok', 'happy');
create type pair as (x int, y text);
create domain email as text check (value like '%@%');
create table customers (id int primary key, name text, email email, handle citext, parent int, region text, mood mood);
create table orders (
  id int primary key, customer_id int, status text, total numeric(10, 2), rate numeric, weight float8,
  placed_at timestamptz, during tstzrange, tags text[], doc jsonb, shape pair, note text collate "C");
create table events (id int, day date, kind text, n int) partition by range (day);
create table events_2026 partition of events for values from ('2026-01-01') to ('2027-01-01');
create table parts (id int primary key, label text);
create table special_parts (grade int) inherits (parts);
create view open_orders as select * from orders where status = 'open';
create view open_big_orders as select * from open_orders where total > 100;
create materialized view order_counts as select customer_id, count(*) as n from orders group by customer_id;
create function half(numeric) returns numeric language sql immutable as 'select $1 / 2';
create function rated(int) returns numeric language sql stable as 'select rate from orders where id = $1';
create aggregate product(numeric) (sfunc = numeric_mul, stype = numeric, initcond = 1);
create table locked (id int primary key, v int);
alter table locked enable row level security;`

/** A construct of SQL and a query that has it. */
export type Feature = readonly [construct: string, sql: string]

/** The constructs of the manual's table, by chapter, each with an example. */
export const features: Readonly<Record<string, readonly Feature[]>> = {
  'Rows and expressions': [
    ['columns, immutable expressions, casts', `select id, total * 2 as twice, id::text as name, half(total) as h from orders`],
    ['CASE, COALESCE, NULLIF', `select id, case when total > 10 then 'big' else coalesce(status, '?') end as size, nullif(status, '') as s from orders`],
    ['JSON and array operators', `select id, doc ->> 'a' as a, tags @> array['x'] as more from orders`],
    ['stable functions of PostgreSQL', `select id, to_char(placed_at, 'YYYY-MM') as month, date_trunc('day', placed_at) as day from orders`],
    ['WHERE of any kind', `select id from orders where total > 10 and (status = 'a' or status is null) and note like 'x%'`],
    ['CASE, NULLIF, IS DISTINCT FROM over citext', `select id, case handle when 'H1' then 1 when 'h2' then 2 end as c, nullif(handle, 'h3') as h, handle is distinct from 'H0' as d from customers`],
    ['rows compared, also with a citext first', `select id, (handle, id) < ('h3', 4) as l from customers where (handle, id) in (select label::citext, id from parts)`],
    ['rows of subqueries as JSON', `select c.id, jsonb_agg(o order by o.id) as orders, count(o) as n from customers c left join (select id, customer_id, total from orders) o on o.customer_id = c.id group by c.id`],
    ['rows of tables counted or asked for NULL', `select c.id, count(o) as n, count(*) filter (where o is null) as none from customers c left join orders o on o.customer_id = c.id group by c.id`],
    ['rows of tables as values', `select id, to_jsonb(p) as row from parts p`],
    ['domains, enums, ranges, citext, composites', `select o.id, c.email, c.mood, c.handle, o.during, o.shape, (o.shape).x from orders o join customers c on c.id = o.customer_id`],
  ],
  Joins: [
    ['inner, cross, comma', `select o.id, c.name from orders o join customers c on c.id = o.customer_id cross join parts p`],
    ['left, right', `select c.id, o.id as o from customers c left join orders o on o.customer_id = c.id`],
    ['full', `select c.id, o.id as o from customers c full join orders o on o.customer_id = c.id`],
    ['USING, NATURAL, also over citext', `select c.id, p.id as p, handle from customers c left join (select id, name::citext as handle from customers) p using (handle)`],
    ['self join', `select a.id, b.name from customers a join customers b on b.id = a.parent`],
    ['join without equality', `select a.id, b.id as b from orders a join orders b on a.total < b.total`],
    ['LATERAL with groups or LIMIT per row', `select c.id, x.total from customers c cross join lateral (select total from orders o where o.customer_id = c.id order by total desc limit 2) x`],
    ['LEFT JOIN LATERAL with a condition', `select c.id, x.total from customers c left join lateral (select total, id from orders o where o.customer_id = c.id order by total desc, id limit 2) x on x.id % 2 = 0`],
    ['LATERAL over set operations and windows', `select c.id, x.s, x.r from customers c cross join lateral (select u.s, row_number() over (order by u.s) as r from (select status as s from orders o where o.customer_id = c.id union select region from customers r where r.parent = c.id) u) x where x.r <= 2`],
    ['LATERAL that depends otherwise', `select c.id, x.n from customers c cross join lateral (select count(*) as n from orders o where o.customer_id < c.id) x`],
  ],
  Subqueries: [
    ['EXISTS, NOT EXISTS', `select id from customers c where exists (select from orders o where o.customer_id = c.id) and not exists (select from orders o where o.id = c.id)`],
    ['IN, NOT IN, with NULLs', `select id from customers where id in (select customer_id from orders) or id not in (select customer_id from orders)`],
    ['ANY, ALL', `select id from orders where total > all (select total from orders where status = 'a') and id = any (select id from customers)`],
    ['scalar', `select id, (select max(total) from orders) as most from customers`],
    ['scalar, correlated', `select id, (select max(total) from orders o where o.customer_id = c.id) as most from customers c`],
    ['EXISTS, IN, ANY over groups, DISTINCT, LIMIT', `select id from customers c where exists (select from orders o where o.customer_id = c.id group by status having count(*) > 1) and c.id not in (select o.id from orders o where o.customer_id = c.parent order by o.id limit 3)`],
    ['scalar, with GROUP BY, HAVING or LIMIT', `select id, (select o.id from orders o where o.customer_id = c.id order by total desc, id limit 1) as best, (select count(*) from orders o where o.customer_id = c.id having count(*) > 1) as n from customers c`],
    ['correlated by equality and otherwise', `select id, (select count(*) from orders o where o.customer_id = c.id and o.total > c.id) as n from customers c`],
    ['correlated otherwise than by equality', `select id, (select max(total) from orders o where o.id < c.id and o.customer_id <> c.id) as most from customers c`],
    ['of columns further out', `select id, (select count(*) from orders o where o.customer_id = c.id and o.total > (select avg(p.total) from orders p where p.customer_id = c.id and p.id <> o.id)) as n from customers c`],
    ['ARRAY(…)', `select id, array(select distinct o.status from orders o where o.customer_id = c.id order by o.status) as orders from customers c`],
    ['in GROUP BY, HAVING, arguments of aggregates, windows', `select (select region from customers c where c.id = o.customer_id) as region, sum((select count(*) from parts p where p.id = o.id)) as n from orders o group by 1 having count(*) > (select count(*) / 20 from customers)`],
    ['in ON', `select o.id, c.id as c from orders o left join customers c on c.id = o.customer_id and exists (select from parts p where p.id = c.id)`],
    ['in ON, of both sides of an outer join', `select o.id, c.id as c from orders o left join customers c on c.id = o.customer_id and exists (select from parts p where p.id = o.id and p.id >= c.id)`],
    ['in ON of a full join, of both sides', `select o.id, c.id as c from orders o full join customers c on c.id = o.customer_id and exists (select from parts p where p.id = o.id and p.id >= c.id)`],
    ['that aggregate columns of the query around them', `select customer_id, (select count(*) from parts p where p.id < max(o.id)) as n from orders o group by customer_id`],
  ],
  Groups: [
    ['GROUP BY, expressions, HAVING', `select date_trunc('day', placed_at) as day, count(*) as n from orders group by 1 having count(*) > 1`],
    ['count, sum, avg, bool_and, bool_or', `select customer_id, count(*) as n, sum(total) as s, avg(total) as a, bool_or(total > 5) as b from orders group by customer_id`],
    ['FILTER', `select customer_id, count(*) filter (where status = 'a') as n from orders group by customer_id`],
    ['min, max', `select customer_id, min(total) as least, max(placed_at) as last from orders group by customer_id`],
    ['count(distinct)', `select customer_id, count(distinct status) as n from orders group by customer_id`],
    ['sum of float', `select customer_id, sum(weight) as w from orders group by customer_id`],
    ['stddev, variance, corr and their like', `select customer_id, stddev(total) as d, var_pop(total) as v, corr(total, rate) as c from orders group by customer_id`],
    ['string_agg, array_agg, json(b)_agg, json(b)_object_agg', `select customer_id, string_agg(status, ',' order by id) as s, array_agg(id order by id) as a, jsonb_agg(doc order by id) as j, jsonb_object_agg(id, total) as o from orders group by customer_id`],
    ['percentile_cont, percentile_disc, mode', `select customer_id, percentile_cont(0.5) within group (order by total) as m, mode() within group (order by status) as c from orders group by customer_id`],
    ['aggregates of your own', `select customer_id, product(total) as p from orders group by customer_id`],
    ['without GROUP BY', `select count(*) as n, sum(total) as s from orders`],
    ['DISTINCT', `select distinct status, customer_id from orders`],
    ['DISTINCT ON', `select distinct on (customer_id) customer_id, id from orders order by customer_id, placed_at desc`],
    ['GROUPING SETS, ROLLUP, CUBE', `select status, customer_id, count(*) as n, grouping(status) as g from orders group by rollup (status, customer_id)`],
    ['GROUP BY DISTINCT', `select status, customer_id, count(*) as n from orders group by distinct rollup (status, customer_id), cube (status)`],
    ['aggregates of several values', `select status, count(distinct (customer_id, note)) as n, jsonb_object_agg(id, total) as o from orders group by status`],
  ],
  'Windows and order': [
    ['window functions with PARTITION BY', `select id, rank() over (partition by customer_id order by total) as r, sum(total) over (partition by customer_id order by id rows between 1 preceding and current row) as s from orders`],
    ['window functions over all rows', `select id, row_number() over (order by total) as r from orders`],
    ['windows that build upon one another', `select id, sum(id) over (w rows 2 preceding) as s, lag(id) over w as l from orders window v as (partition by customer_id), w as (v order by id)`],
    ['ORDER BY with LIMIT, OFFSET, WITH TIES', `select id, total from orders order by total desc fetch first 10 rows with ties`],
  ],
  'Queries of queries': [
    ['UNION ALL', `select id from orders union all select id from customers`],
    ['UNION', `select id from orders union select id from customers`],
    ['INTERSECT, EXCEPT, with and without ALL', `(select id from orders intersect select id from customers) except all select id from parts`],
    ['WITH, used often, materialized or not', `with t as materialized (select customer_id, sum(total) as s from orders group by customer_id) select a.s, b.customer_id from t a join t b on a.s = b.s`],
    ['groups of groups', `select n, count(*) as c from (select customer_id, count(*) as n from orders group by customer_id) t group by n`],
    ['WITH RECURSIVE', `with recursive t as (select id, parent from customers where parent is null union all select c.id, c.parent from customers c join t on c.parent = t.id) select id from t`],
    ['WITH RECURSIVE that refers to the query around it', `select id, (with recursive u as (select c.parent as p, 1 as d union all select k.parent, u.d + 1 from customers k join u on k.id = u.p where u.d < 9) select max(d) from u) as depth from customers c`],
    ['LIMIT of a subquery', `select id from orders order by id limit (select count(*) / 4 from orders)`],
    ['views, also of views', `select id, total from open_big_orders`],
  ],
  Sources: [
    ['VALUES', `select o.id, v.word from orders o join (values ('a', 'first'), ('b', 'second')) v (status, word) on v.status = o.status`],
    ['VALUES of subqueries', `select v.name, v.n from (values ('orders', (select count(*) from orders)), ('customers', (select count(*) from customers))) v (name, n)`],
    ['generate_series over what a query gives', `with b as (select min(placed_at) as low, max(placed_at) as high from orders) select d.d, count(o.id) as n from b cross join lateral generate_series(b.low, b.high, interval '10 days') d (d) left join orders o on o.placed_at >= d.d and o.placed_at < d.d + interval '10 days' group by d.d`],
    ['functions with a list of columns, ROWS FROM', `select o.id, e.a, u.t, u.n from orders o cross join lateral jsonb_to_record(o.doc) as e (a int) cross join lateral rows from (unnest(o.tags), generate_series(1, 2)) as u (t, n)`],
    ['generate_series', `select o.id, g.n from orders o cross join lateral generate_series(1, o.id) as g (n)`],
    ['unnest', `select o.id, t.tag, t.place from orders o cross join lateral unnest(o.tags) with ordinality as t (tag, place)`],
    ['set-returning functions in the select list', `select id, unnest(tags) as tag from orders`],
    ['partitioned tables', `select kind, sum(n) as n from events group by kind`],
    ['inherited tables', `select id, label from parts`],
    ['ONLY, and partitions by their names', `select p.id, e.n from only parts p left join events_2026 e on e.id = p.id`],
    ['materialized views that Tidemark does not maintain', `select customer_id, n from order_counts`],
    ['tables with row-level security', `select id, v from locked`],
  ],
  Time: [
    ['now() and its like in a condition', `select id from orders where placed_at > now() - interval '7 days'`],
    ['current_date in a value that seldom changes', `select id, placed_at::date = current_date as today from orders`],
    ['now() in a value', `select id, now() - placed_at as age from orders`],
  ],
  'What cannot be told': [
    ['volatile functions', `select id, random() as r from orders`],
    ['functions of your own that are not immutable', `select id, rated(id) as r from orders`],
    ['tables of the system', `select relname from pg_class`],
    ['TABLESAMPLE', `select id from orders tablesample system (10)`],
    ['hidden columns: ctid, xmin', `select id, xmin::text as x from orders`],
  ],
} // prettier-ignore
