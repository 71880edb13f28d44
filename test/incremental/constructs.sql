-- Constructs of SQL beside those of the manual's table, each in a query: maintained over the writes below and compared with
-- the query after each of them by constructs.pg.test.ts. Tables: -- schema; statements: -- writes; one query to a heading.
-- schema
create type pair as (x int, y text);
create type mood as enum ('sad','ok','happy');
create domain email as text check (value like '%@%');
create table customers (id int primary key, name text, email email, handle public.citext, parent int, region text, mood mood);
create table orders (id int primary key, customer_id int, status text, total numeric(10,2), rate numeric, weight float8,
  placed_at timestamptz, during tstzrange, tags text[], doc jsonb, shape pair, note text collate "C", js json);
create table items (order_id int, line int, sku public.citext, qty int, price numeric(8,2), primary key (order_id, line));
create table products (sku public.citext primary key, label text);
create table events (id int, day date, kind text, n int) partition by range (day);
create table events_2025 partition of events for values from ('2025-01-01') to ('2026-01-01');
create table events_2026 partition of events for values from ('2026-01-01') to ('2027-01-01');
create table events_rest partition of events default;
create table parts (id int primary key, label text);
create table special_parts (grade int) inherits (parts);
create table bag (a int, b text);
create table odd (id int primary key, g int, b bpchar, p pair, q pair);
create function numeric_times(numeric, numeric) returns numeric language sql immutable as 'select coalesce($1,1)*coalesce($2,1)';
create aggregate product(numeric) (sfunc = numeric_mul, stype = numeric, initcond = 1);
create aggregate cat(text) (sfunc = textcat, stype = text, initcond = '');
create view open_orders as select * from orders where status = 'open';
insert into customers select g, 'n' || g % 7, case when g % 5 > 0 then 'a' || g || '@x' end, case when g % 2 = 0 then 'H' || g % 4 else 'h' || g % 4 end, nullif(g / 3, 0), (array['n','s','e',null])[1 + g % 4], (array['sad','ok','happy',null])[1 + g % 4]::mood from generate_series(1, 20) g;
insert into orders select g, case when g % 9 = 0 then null else 1 + g % 12 end, (array['open','a','b',null])[1 + g % 4], (g % 7) * 1.5, (g % 5)::numeric / 4, g * 0.1, '2026-01-01'::timestamptz + g * interval '1 day',
  case when g % 6 > 0 then tstzrange('2026-01-01'::timestamptz + g * interval '1 day', null) end, case when g % 4 = 0 then null when g % 4 = 1 then '{}' else array['x','t' || g % 3] end, jsonb_build_object('a', g % 4, 'l', jsonb_build_array(g % 3, 7)), row(g % 4, 'p' || g % 2)::pair, 'x' || g % 5, json_build_object('k', g % 3) from generate_series(1, 60) g;
insert into items select 1 + g % 40, g, (array['A1','a1','B2','c3'])[1 + g % 4], g % 5, g % 7 from generate_series(1, 90) g;
insert into products values ('a1', 'first'), ('B2', 'second'), ('d4', 'fourth');
insert into events select g, '2025-06-01'::date + g * 20, 'k' || g % 3, g % 5 from generate_series(1, 40) g;
insert into parts select g, 'p' || g % 3 from generate_series(1, 8) g;
insert into special_parts select g, 's' || g % 3, g % 2 from generate_series(5, 14) g;
insert into bag select g % 3, 'b' || g % 2 from generate_series(1, 9) g;
insert into odd select g, g % 3, (array['a','a ','b',null]::bpchar[])[1 + g % 4], (array[row(null, null), row(1, null), null, row(1, 'x')]::pair[])[1 + g % 4], (array[row(null, null), null, row(1, 'y')]::pair[])[1 + g % 3] from generate_series(1, 20) g;
-- writes
update orders set total = total + 1 where id % 7 = 0;
delete from orders where id % 11 = 0;
insert into orders select g, 1 + g % 12, 'open', 3, 0.5, 2.5, '2026-03-01', null, array['x','q'], '{"a": 9}', row(1,'p0')::pair, 'x1', '{"k": 1}' from generate_series(100, 110) g;
update customers set region = 's', handle = upper(handle::text) where id % 3 = 0;
update customers set parent = 5 where id in (7, 8, 9);
delete from customers where id in (2, 5);
insert into customers values (30, 'new', 'n@x', 'H1', 1, null, 'ok'), (2, 'again', null, null, 1, 'n', null);
update items set qty = qty + 1, sku = 'b2' where line % 5 = 0;
delete from items where order_id % 4 = 1;
insert into products values ('C3', 'third');
update products set label = label || '!' where sku = 'A1';
delete from products where sku = 'b2';
update events set day = day + 200 where id % 3 = 0;
delete from events where id % 4 = 1;
insert into events select g, '2026-02-01'::date + g % 3 - 60, 'k1', 2 from generate_series(50, 56) g;
insert into events values (90, '2031-01-01', 'k0', 1);
update events_2026 set n = n + 10 where id % 2 = 0;
truncate events_2025;
insert into special_parts values (20, 'p1', 1), (3, 'p0', 1);
insert into parts values (21, 's1');
update parts set label = label || 'z' where id % 2 = 0;
delete from parts where id = 6;
delete from only parts where id = 8;
insert into bag values (1, 'b1'), (1, 'b1'), (null, null);
delete from bag where ctid in (select ctid from bag where a = 1 limit 2);
update orders set customer_id = 3, tags = array['x', 'y'], shape = row(9, null)::pair where id % 5 = 0;
update orders set customer_id = null where id % 13 = 0;
delete from orders where status = 'open';
update odd set p = q, b = b || '  ' where id % 5 = 0;
insert into odd select g, g % 3, (array['a  ','b '])[1 + g % 2], row(null, null)::pair, (array[row(1, null), row(null, null)]::pair[])[1 + g % 2] from generate_series(30, 36) g;
delete from odd where id % 7 = 0;
truncate bag;
insert into bag values (5, 'e'), (5, 'e'), (6, null);
delete from customers;
insert into customers values (1, 'x', 'a@b', 'h1', null, 'n', 'sad'), (3, 'y', null, 'H1', 1, 's', 'ok'), (4, 'z', 'c@d', 'h2', 3, 's', 'ok');
delete from orders where id < 30;
delete from items;
insert into items values (40, 1, 'a1', 2, 3), (41, 1, 'A1', 1, 1), (100, 1, 'zz', 1, 1);
-- queries
--- child by name
select id, label, grade from special_parts
--- whole row of subquery
select row_to_json(t) as j from (select id, total from orders where status = 'open') t
--- json_agg(t)
select customer_id, json_agg(o order by o.id) as j from (select id, customer_id, total from orders) o group by customer_id
--- whole row is null
select c.id, o is null as lonely from customers c left join orders o on o.customer_id = c.id
--- whole row is not null
select c.id, t is not null as has from customers c left join bag t on t.a = c.id
--- count(t)
select c.id, count(o) as n from customers c left join orders o on o.customer_id = c.id group by c.id
--- count(t.*)
select c.id, count(o.*) as n from customers c left join orders o on o.customer_id = c.id group by c.id
--- row_to_json outer
select c.id, row_to_json(o) as o from customers c left join (select id as oid, customer_id, total from orders) o on o.customer_id = c.id
--- whole row cte
with t as (select id, name from customers) select to_jsonb(t) as j from t
--- lateral row
select c.id, to_jsonb(x) as j from customers c cross join lateral (select o.total, o.id from orders o where o.customer_id = c.id order by o.id limit 2) x
--- using citext
select sku, qty, label from items join products using (sku)
--- using citext left
select sku, qty, label from items left join products using (sku)
--- using citext full
select sku, qty, label from items full join products using (sku)
--- natural
select * from items natural join products
--- natural full
select id, label from (select id, label from parts) a natural full join (select id, label from special_parts) b
--- using inner int
select id, total, name from orders join customers using (id)
--- using full int
select id, total, name from orders full join customers using (id)
--- using right int
select id, total, name from orders right join customers using (id)
--- using two columns
select id, label from parts p join special_parts s using (id, label)
--- using three
select id from orders join customers using (id) join parts using (id)
--- case citext
select id, case handle when 'h1' then 'one' when 'H2' then 'two' else 'rest' end as c from customers
--- nullif citext
select id, nullif(handle, 'H1') as c from customers
--- distinct from citext
select a.id, b.id as b from customers a join customers b on a.handle is distinct from b.handle and a.id < b.id
--- not distinct from citext
select a.id, b.id as b from customers a join customers b on a.handle is not distinct from b.handle
--- citext in list
select id from customers where handle in ('H1', 'h2')
--- citext any
select id from customers where handle = any (array['H1', 'x']::public.citext[])
--- citext between
select id from customers where handle between 'H1' and 'h3'
--- citext in sub
select line from items where sku in (select sku from products)
--- citext not in sub
select line from items where sku not in (select sku from products)
--- case int
select id, case total when 3 then 'x' when 1.5 then 'y' end as c from orders
--- on outer nested both
select o.id, c.id as c from orders o left join customers c on c.id = o.customer_id and exists (select from items i where i.order_id = o.id and i.qty > c.id)
--- on outer nested left only
select o.id, c.id as c from orders o left join customers c on c.id = o.customer_id and exists (select from items i where i.order_id = o.id)
--- on outer scalar
select o.id, c.id as c from orders o left join customers c on c.id = (select max(x.id) from customers x where x.region = o.status)
--- on outer in
select o.id, c.id as c from orders o left join customers c on c.id = o.customer_id and o.id in (select order_id from items)
--- on outer or
select o.id, c.id as c from orders o left join customers c on c.id = o.customer_id and (c.region = 's' or exists (select from items i where i.order_id = o.id))
--- on right nested
select o.id, c.id as c from orders o right join customers c on c.id = o.customer_id and exists (select from items i where i.order_id = o.id)
--- on full nested
select o.id, c.id as c from orders o full join customers c on c.id = o.customer_id and exists (select from items i where i.order_id = o.id)
--- on inner nested
select o.id, c.id as c from orders o join customers c on c.id = o.customer_id and exists (select from items i where i.order_id = o.id and i.qty > c.id)
--- correlated group
select c.id, (select max(n) from (select count(*) as n from orders o where o.customer_id = c.id group by o.status) t) as m from customers c
--- correlated group scalar
select c.id, (select sum(o.total) from orders o where o.customer_id = c.id group by o.customer_id) as m from customers c
--- correlated group having
select c.id, (select count(*) from orders o where o.customer_id = c.id having count(*) > 1) as m from customers c
--- correlated limit
select c.id, (select o.total from orders o where o.customer_id = c.id order by o.total desc, o.id limit 1) as m from customers c
--- correlated limit offset
select c.id, (select o.id from orders o where o.customer_id = c.id order by o.id limit 1 offset 1) as m from customers c
--- correlated nonequal limit
select c.id, (select o.id from orders o where o.customer_id < c.id order by o.id desc limit 1) as m from customers c
--- exists group
select c.id from customers c where exists (select from orders o where o.customer_id = c.id group by o.status having count(*) > 1)
--- exists limit
select c.id from customers c where exists (select from orders o where o.customer_id = c.id limit 1)
--- exists distinct
select c.id from customers c where exists (select distinct o.status from orders o where o.customer_id = c.id)
--- not exists group
select c.id from customers c where not exists (select o.status from orders o where o.customer_id = c.id group by o.status having sum(o.total) > 5)
--- in group
select c.id from customers c where 2 in (select count(*) from orders o where o.customer_id = c.id group by o.status)
--- in limit
select c.id from customers c where 3 in (select o.id from orders o where o.customer_id = c.id order by o.id limit 3)
--- not in group
select c.id from customers c where 2 not in (select count(*) from orders o where o.customer_id = c.id group by o.status)
--- all group
select c.id from customers c where 3 > all (select count(*) from orders o where o.customer_id = c.id group by o.status)
--- any group select list
select c.id, 2 = any (select count(*) from orders o where o.customer_id = c.id group by o.status) as b from customers c
--- exists group select list
select c.id, exists (select from orders o where o.customer_id = c.id group by o.status having count(*) > 1) as b from customers c
--- exists union
select c.id from customers c where exists (select from orders o where o.customer_id = c.id union all select from items i where i.order_id = c.id)
--- exists union distinct
select c.id from customers c where exists (select o.id from orders o where o.customer_id = c.id union select i.line from items i where i.order_id = c.id)
--- in union
select c.id from customers c where c.id in (select o.id from orders o where o.customer_id = c.parent union select i.line from items i where i.order_id = c.parent)
--- in except
select c.id from customers c where c.id in (select o.id from orders o where o.customer_id > c.parent except select i.line from items i where i.order_id = c.parent)
--- scalar of intersect
select c.id, (select count(*) from (select o.status from orders o where o.customer_id = c.id intersect select p.status from orders p where p.customer_id = c.id + 1) x) as n from customers c
--- array group
select c.id, array(select count(*) from orders o where o.customer_id = c.id group by o.status order by 1) as a from customers c
--- array distinct
select c.id, array(select distinct o.status from orders o where o.customer_id = c.id order by o.status) as a from customers c
--- array limit
select c.id, array(select o.id from orders o where o.customer_id = c.id order by o.id desc limit 2) as a from customers c
--- array func
select c.id, array(select upper(o.status) from orders o where o.customer_id = c.id order by o.id) as a from customers c
--- array union
select c.id, array(select o.id from orders o where o.customer_id = c.id union select i.line from items i where i.order_id = c.id order by 1) as a from customers c
--- lateral agg nonequal
select c.id, x.n from customers c cross join lateral (select count(*) as n from orders o where o.customer_id <= c.id) x
--- lateral left on
select c.id, x.id as o from customers c left join lateral (select o.id from orders o where o.customer_id = c.id order by o.id limit 2) x on x.id % 2 = 0
--- lateral in outer join
select c.id, o.id as o, x.n from customers c left join orders o on o.customer_id = c.id left join lateral (select sum(i.qty) as n from items i where i.order_id = o.id) x on true
--- lateral nested
select c.id, y.q from customers c cross join lateral (select o.id from orders o where o.customer_id = c.id order by o.id limit 2) x cross join lateral (select sum(i.qty) as q from items i where i.order_id = x.id) y
--- lateral further out
select c.id, (select max(y.q) from orders o cross join lateral (select sum(i.qty) as q from items i where i.order_id = o.id and i.qty < c.id) y where o.customer_id = c.id) as m from customers c
--- lateral group further out
select c.id, x.total from customers c cross join lateral (select o.total from orders o where o.customer_id = c.id and o.id in (select max(p.id) from orders p where p.customer_id = c.id group by p.status)) x
--- lateral distinct on
select c.id, x.id as o from customers c cross join lateral (select distinct on (o.status) o.id, o.status from orders o where o.customer_id = c.id order by o.status, o.id desc) x
--- lateral distinct on limit
select c.id, x.id as o from customers c cross join lateral (select distinct on (o.status) o.id, o.status from orders o where o.customer_id = c.id order by o.status, o.id desc limit 1) x
--- lateral window
select c.id, x.id as o, x.r from customers c cross join lateral (select o.id, row_number() over (order by o.id) as r from orders o where o.customer_id = c.id) x where x.r < 3
--- lateral union
select c.id, x.k from customers c cross join lateral (select o.id as k from orders o where o.customer_id = c.id union all select i.line from items i where i.order_id = c.id) x
--- lateral union group
select c.id, x.k, x.n from customers c cross join lateral (select k, count(*) as n from (select o.status as k from orders o where o.customer_id = c.id union all select 'item' from items i where i.order_id = c.id) u group by k) x
--- lateral union limit
select c.id, x.k from customers c cross join lateral ((select o.id as k from orders o where o.customer_id = c.id) union all (select i.line from items i where i.order_id = c.id) order by 1 limit 2) x
--- lateral values
select c.id, v.k, v.x from customers c cross join lateral (values ('a', c.parent), ('b', c.id * 2)) v (k, x)
--- lateral values agg
select c.id, (select max(x) from (values (c.parent), (c.id)) v (x)) as m from customers c
--- group by distinct
select status, customer_id, count(*) as n from orders group by distinct rollup (status, customer_id), rollup (status)
--- group by all dup
select status, customer_id, count(*) as n from orders group by rollup (status, customer_id), rollup (status)
--- cube grouping sets
select status, note, count(*) as n, grouping(status, note) as g from orders group by grouping sets (cube (status, note), (), (status))
--- correlated rollup
select c.id, x.s, x.n from customers c cross join lateral (select o.status as s, count(*) as n from orders o where o.customer_id = c.id group by rollup (o.status)) x
--- jsonb_object_agg
select customer_id, jsonb_object_agg(id, total) as j from orders group by customer_id
--- jsonb_object_agg dup
select customer_id, jsonb_object_agg(coalesce(status, '-'), total order by id) as j from orders group by customer_id
--- choice jsonb_object_agg (leaves a choice)
select customer_id, jsonb_object_agg(coalesce(status, '-'), total) as j from orders group by customer_id
--- json_object_agg (leaves a choice)
select customer_id, json_object_agg(id, total) as j from orders group by customer_id
--- xmlagg (leaves a choice)
select customer_id, xmlagg(xmlelement(name a, id))::text as j from orders group by customer_id
--- range_agg
select customer_id, range_agg(during) as r from orders group by customer_id
--- values only
select v.b, bag.b as c from (values (1, 'a'), (2, 'b')) v (a, b) join bag on bag.a = v.a
--- values with scalar
select o.id, v.x from orders o, (values ((select max(id) from customers)), (3)) v (x) where v.x = o.customer_id
--- generate_series of table
select o.id, g from orders o, generate_series(1, o.id % 4) g
--- generate_series left
select d.d::date as d, count(o.id) as n from generate_series('2026-01-01'::timestamptz, '2026-03-10', interval '7 days') d (d) left join orders o on o.placed_at >= d.d and o.placed_at < d.d + interval '7 days' group by 1
--- generate_series scalar subquery
select g.d from generate_series((select min(id) from orders), (select max(id) from orders)) g (d)
--- generate_series min max cte
with b as (select min(placed_at) as lo, max(placed_at) as hi from orders) select d.d, count(o.id) as n from b cross join lateral generate_series(b.lo, b.hi, interval '10 days') d (d) left join orders o on o.placed_at >= d.d and o.placed_at < d.d + interval '10 days' group by d.d
--- srf select
select id, unnest(tags) as tag, generate_series(1, 2) as g from orders
--- srf in expression
select id, unnest(tags) || '!' as tag from orders
--- srf group
select unnest(tags) as tag, count(*) as n from orders group by 1
--- srf group agg
select tag, count(*) as n from (select unnest(tags) as tag from orders) t group by tag
--- srf distinct
select distinct unnest(tags) as tag from orders
--- srf order limit
select id, unnest(tags) as tag from orders order by 1, 2 limit 5
--- srf nested
select id, unnest(string_to_array(array_to_string(tags, ','), ',')) as t from orders
--- srf of aggregate
select customer_id, unnest(array_agg(id order by id)) as i from orders group by customer_id
--- srf in case error
select id, jsonb_array_elements(doc -> 'l') as e from orders
--- jsonb_each
select o.id, e.key, e.value from orders o cross join lateral jsonb_each(o.doc) e
--- jsonb_to_record
select o.id, e.a from orders o cross join lateral jsonb_to_record(o.doc) as e (a int)
--- jsonb_to_recordset
select o.id, e.k from orders o cross join lateral json_to_recordset('[{"k":1}]') as e (k int)
--- rows from
select o.id, t.a, t.b from orders o cross join lateral rows from (unnest(o.tags), generate_series(1, 3)) as t (a, b)
--- rows from ordinality
select o.id, t.a, t.b, t.n from orders o cross join lateral rows from (unnest(o.tags), generate_series(1, 3)) with ordinality as t (a, b, n)
--- unnest multi
select o.id, t.a, t.b from orders o cross join lateral unnest(o.tags, array[1, o.id]) as t (a, b)
--- unnest left
select o.id, t.a from orders o left join lateral unnest(o.tags) as t (a) on true
--- unnest left on
select o.id, t.a from orders o left join lateral unnest(o.tags) as t (a) on t.a <> 'x'
--- regexp_split
select o.id, w from orders o, regexp_split_to_table(o.note || ' a b', ' ') w
--- func from scalar
select o.id, f from orders o, abs(o.id - 30) f where f < 10
--- func from with subquery
select g from generate_series(1, (select count(*) from bag)) g
--- user aggregate
select customer_id, o_product as p from (select customer_id, product(total) as o_product from orders where total <> 0 group by customer_id) t
--- user aggregate qualified
select customer_id, product(total) as p, cat(status order by id) as c from orders o2 group by customer_id
--- subquery in group by
select (select c.region from customers c where c.id = o.customer_id) as region, count(*) as n from orders o group by 1
--- subquery in group by expr
select coalesce((select c.region from customers c where c.id = o.customer_id), '?') as region, sum(total) as n from orders o group by coalesce((select c.region from customers c where c.id = o.customer_id), '?')
--- subquery in agg arg
select customer_id, sum((select sum(i.qty) from items i where i.order_id = o.id)) as q from orders o group by customer_id
--- subquery in agg filter
select customer_id, count(*) filter (where exists (select from items i where i.order_id = o.id)) as q from orders o group by customer_id
--- subquery in agg order (leaves a choice)
select customer_id, string_agg(status, ',' order by (select count(*) from items i where i.order_id = o.id), id) as q from orders o group by customer_id
--- subquery in having
select customer_id, count(*) as n from orders o group by customer_id having count(*) > (select count(*) from items i where i.order_id = o.customer_id)
--- subquery in having uncorrelated
select customer_id, sum(total) as n from orders o group by customer_id having sum(total) > (select avg(total) from orders)
--- exists in having
select customer_id, sum(total) as n from orders o group by customer_id having exists (select from customers c where c.id = o.customer_id and c.region = 's')
--- subquery in having with agg
select customer_id from orders o group by customer_id having max(total) in (select price from items)
--- subquery with outer agg
select customer_id, (select count(*) from items i where i.qty < max(o.id)) as n from orders o group by customer_id
--- subquery in window
select id, rank() over (partition by (select c.region from customers c where c.id = o.customer_id) order by id) as r from orders o
--- subquery in order limit
select id from orders o order by (select count(*) from items i where i.order_id = o.id) desc, id limit 5
--- subquery in limit
select id from orders order by id limit (select count(*) / 4 from orders)
--- limit expr
select id from orders order by id limit 2 + 3 offset 1
--- recursive tree
with recursive t as (select id, parent, 1 as depth from customers where parent is null union all select c.id, c.parent, t.depth + 1 from customers c join t on c.parent = t.id where t.depth < 10) select id, depth from t
--- recursive union
with recursive t (a, b) as (select parent, id from customers union select t.a, c.id from customers c join t on c.parent = t.b) select a, b from t
--- recursive grouped
with recursive t as (select id, parent, id as root from customers where parent is null union all select c.id, c.parent, t.root from customers c join t on c.parent = t.id) select t.root, count(*) as n, sum(o.total) as s from t left join orders o on o.customer_id = t.id group by t.root
--- recursive numbers
with recursive n as (select 1 as i union all select i + 1 from n where i < 5) select n.i, count(o.id) as c from n left join orders o on o.id % 5 = n.i group by n.i
--- recursive and other ctes
with recursive big as (select id, customer_id from orders where total > 3), t as (select id, parent from customers where id in (select customer_id from big) union select c.id, c.parent from customers c join t on t.parent = c.id), n as (select count(*) as n from big) select t.id, n.n from t cross join n
--- recursive in subquery
select o.id, (select count(*) from (with recursive u as (select id, parent from customers where parent is null union all select c.id, c.parent from customers c join u on c.parent = u.id) select id from u) x where x.id = o.customer_id) as d from orders o
--- recursive correlated
select c.id, (with recursive u as (select c.parent as p, 1 as d union all select k.parent, u.d + 1 from customers k join u on k.id = u.p where u.d < 9) select max(d) from u) as depth from customers c
--- recursive search
with recursive t as (select id, parent from customers where parent is null union all select c.id, c.parent from customers c join t on c.parent = t.id) search depth first by id set path select id, path::text as p from t
--- recursive cycle
with recursive t as (select id, parent from customers where parent is null union all select c.id, c.parent from customers c join t on c.parent = t.id) cycle id set looped using way select id, looped from t
--- recursive over view
with recursive t as (select id, customer_id from open_orders union select o.id, o.customer_id from orders o join t on t.customer_id = o.id) select * from t
--- recursive used twice
with recursive t as (select id, parent from customers where parent is null union all select c.id, c.parent from customers c join t on c.parent = t.id) select a.id, b.id as b from t a join t b on a.parent = b.id
--- data cte materialized
with a as materialized (select * from orders), b as not materialized (select * from a where total > 3) select b.id, a.total from b join a using (id)
--- nested cte
with a as (with b as (select id from orders) select id from b) select a.id, (with c as (select max(id) as m from a) select m from c) as m from a
--- cte in subquery
select c.id from customers c where exists (with x as (select o.id from orders o where o.customer_id = c.id) select from x)
--- cte correlated group
select c.id, (with x as (select count(*) as n from orders o where o.customer_id = c.id) select n from x) as n from customers c
--- window frames
select id, sum(total) over (partition by customer_id order by placed_at range between interval '3 days' preceding and current row exclude ties) as a, first_value(id) over w as f, nth_value(id, 2) over w as n from orders window w as (partition by status order by id groups between 1 preceding and 1 following)
--- window inherits
select id, sum(id) over (w2 rows 1 preceding) as s, lag(id) over w2 as l from orders window w as (partition by status), w2 as (w order by id)
--- window over group
select customer_id, sum(total) as s, rank() over (order by sum(total) desc, customer_id) as r from orders group by customer_id
--- window in order by only
select id from orders order by row_number() over (order by total, id) limit 3
--- window filter
select id, count(*) filter (where total > 3) over (partition by status order by id) as n from orders
--- aggregate distinct order
select customer_id, array_agg(distinct status order by status desc) as a, count(distinct (status, note)) as n from orders group by customer_id
--- aggregate order ties (leaves a choice)
select customer_id, array_agg(status order by total) as a from orders group by customer_id
--- hypothetical set
select customer_id, rank(3) within group (order by total) as r, percent_rank(3) within group (order by total) as p from orders group by customer_id
--- percentile array
select percentile_cont(array[0.25, 0.5]) within group (order by total) as p from orders
--- any_value
select customer_id, bit_or(id) as b, every(total > 0) as e from orders group by customer_id
--- grouping pk
select o.*, count(i.line) as n from orders o left join items i on i.order_id = o.id group by o.id
--- group by composite
select shape, count(*) as n from orders group by shape
--- composite fields
select id, (shape).x, (shape).y from orders
--- array ops
select id, tags[1] as t, array_length(tags, 1) as n, tags || 'k'::text as k, tags[1:2] as s from orders where 'x' = any (tags)
--- row compare
select id from orders where (customer_id, total) > (3, 2)
--- row distinct
select id from orders where row(customer_id, status) is distinct from row(3, 'a')
--- row in
select id from orders where (customer_id, status) in (select id, case region when 's' then 'a' else 'b' end from customers)
--- between symmetric
select id from orders where total between symmetric 5 and 1
--- similar to, ilike
select id from orders where note similar to 'x(1|2)' or status ilike 'O%'
--- greatest
select id, greatest(total, rate) as g, least(total, 2) as l from orders
--- at time zone
select id, placed_at at time zone 'Europe/Paris' as t, extract(isodow from placed_at) as d from orders
--- overlaps
select id from orders where (placed_at, interval '1 day') overlaps ('2026-01-10'::timestamptz, '2026-01-20'::timestamptz)
--- collate
select id from orders where note collate "C" < 'x2' order by note collate "C" desc, id limit 4
--- is json etc
select id, doc #>> '{l,0}' as l, doc ? 'a' as h, doc @> '{"a":1}' as c, jsonb_path_exists(doc, '$.l[*] ? (@ > 1)') as p from orders
--- xml
select id, xmlelement(name a, note)::text as x from orders
--- format, concat
select id, format('%s-%s', status, total) as f, concat_ws('/', status, note) as c from orders
--- no table column
select 1 as one from bag
--- no columns count
select count(*) as n from bag
--- star
select * from orders
--- join nested right
select c.id, o.id as o, i.line from customers c right join (orders o left join items i on i.order_id = o.id) on o.customer_id = c.id
--- full three
select a.id, b.id as b, c.a as c from customers a full join parts b on a.id = b.id full join bag c on c.a = b.id
--- full nonequal
select a.id, b.a as b from customers a full join bag b on a.id = b.a and a.region is not null
--- except null
select region from customers except select status from orders
--- except all
select a from bag except all select id from parts
--- intersect all
select label from parts intersect all select label from special_parts
--- union corr types
select id, total from orders union select id, null from customers
--- set op limit
(select id from orders order by id limit 5) union all (select id from customers order by id desc limit 3) order by 1 limit 6
--- set op nested
select id from orders except (select id from customers union select id from parts)
--- distinct on expr
select distinct on (date_trunc('month', placed_at)) id, placed_at from orders order by date_trunc('month', placed_at), placed_at desc
--- distinct order limit
select distinct status from orders order by status nulls first limit 3
--- limit ties
select id, total from orders order by total desc fetch first 4 rows with ties
--- offset only
select id from orders order by id offset 50
--- quantified row
select id from orders where (total, id) >= all (select total, id from orders where status = 'a')
--- not in null
select id from customers where region not in (select status from orders where status is not null)
--- scalar not found
select id, (select label from parts p where p.id = c.id and p.label = 'p1') as l from customers c
--- scalar error
select id, (select label from special_parts p where p.id = c.id) as l from customers c
--- scalar row many
select id, (select max(o.total) from orders o) - (select min(total) from orders) as d from bag, customers where a = id
--- scalar with join outer
select c.id, (select string_agg(i.sku::text, ',' order by i.line) from orders o join items i on i.order_id = o.id where o.customer_id = c.id) as s from customers c
--- correlated in or
select c.id from customers c where c.region = 's' or exists (select from orders o where o.customer_id = c.id)
--- nested exists
select c.id from customers c where exists (select from orders o where o.customer_id = c.id and not exists (select from items i where i.order_id = o.id and i.qty > c.id))
--- mutual correlated
select c.id from customers c where (select count(*) from orders o where o.customer_id = c.id and o.total > (select avg(p.total) from orders p where p.customer_id = c.id)) > 1
--- case with subquery
select id, case when exists (select from items i where i.order_id = o.id) then (select sum(qty) from items i where i.order_id = o.id) else -1 end as q from orders o
--- column aliases
select t.y from bag as t (x, y)
--- column aliases swapped
select t.a, t.b from bag as t (b, a)
--- column aliases view
select t.q from open_orders as t (p, q, r)
--- having of the empty
select c.id, (select coalesce(sum(o.total), 7) from orders o where o.customer_id = c.id having count(*) < 2) as s from customers c
--- lateral left values of a missing row
select c.id, x.t from customers c left join lateral (select coalesce(o.total, 0) as t, 'found' as f from orders o where o.customer_id = c.id and o.total > 8 order by o.id limit 1) x on true
--- lateral with having
select c.id, x.n from customers c cross join lateral (select count(*) as n from orders o where o.customer_id = c.id having count(*) <> 3) x
--- lateral left with having
select c.id, x.n from customers c left join lateral (select count(*) as n from orders o where o.customer_id = c.id having count(*) > 2) x on true
--- scalar limit without correlation
select c.id, (select o.id from orders o where o.total > 100 order by o.id limit 1) as none, (select max(o.id) from orders o having count(*) > 40) as m from customers c
--- any of a scalar aggregate
select c.id, 4 > any (select count(*) from orders o where o.customer_id = c.id) as a, null = any (select o.total from orders o where o.customer_id = c.id group by o.total) as n from customers c
--- all over groups in the select list
select c.id, 3 >= all (select count(*) from orders o where o.customer_id = c.id group by o.status) as a from customers c
--- in of a limit that depends otherwise
select c.id from customers c where c.id in (select o.customer_id from orders o where o.id > c.id order by o.id limit 2)
--- not in of a limit that depends otherwise
select c.id, c.id not in (select o.customer_id from orders o where o.id > c.id order by o.id limit 2) as n from customers c
--- exists of an aggregate
select c.id from customers c where exists (select count(*) from orders o where o.customer_id = c.id) and not exists (select count(*) from orders o where o.customer_id = c.id having count(*) > 3)
--- exists offset
select c.id from customers c where exists (select from orders o where o.customer_id = c.id order by o.id offset 2)
--- on outer left and both
select o.id, c.id as c from orders o left join customers c on c.id = o.customer_id and (select count(*) from items i where i.order_id = o.id) > 1 and (select max(i.line) from items i where i.order_id = o.id) > c.id
--- on outer grouped of both
select o.id, c.id as c from orders o left join customers c on c.region = 's' and exists (select i.qty from items i where i.order_id = o.id and i.line = c.id group by i.qty having count(*) > 0)
--- case of citext in a group (leaves a choice)
select case sku when 'a1' then 'one' else 'more' end as k, nullif(sku, 'B2') as s, count(*) as n from items group by 1, 2
--- spellings of a group (leaves a choice)
select handle, count(*) as n, string_agg(handle, ',') as all_of_them, array_agg(handle order by handle) as ordered from customers group by handle having count(*) > 1
--- citext through a subquery
select t.s is not distinct from p.sku as same, p.label from (select sku as s, qty from items) t join products p on p.sku = t.s
--- json of rows of values
select v.k, to_jsonb(v) as j, o.id from (values ('open', 1), ('a', 2)) v (k, n) left join orders o on o.status = v.k
--- json of rows in groups
select status, json_agg(t order by t.id) filter (where t.total > 2) as j, count(distinct t.total) as n from (select id, status, total, js from orders) t group by status
--- recursive over groups
with recursive n as (select customer_id, count(*) as k from orders group by customer_id), t as (select c.id, c.parent, 0::bigint as k from customers c where c.parent is null union all select c.id, c.parent, t.k + n.k from customers c join t on c.parent = t.id left join n on n.customer_id = c.id) select id, k from t
--- recursive beside a limit
with recursive t as (select id, parent, array[id] as path from customers where parent is null union all select c.id, c.parent, path || c.id from customers c join t on c.parent = t.id) select id, cardinality(path) as depth from t order by depth desc, id limit 5
--- literals of several lines
select id, note || E'\n' = E'x1\n' as c, E'p\n  q\\ ''r' as t, (select count(*) from orders p where p.note <> E'x1\n  ' and p.id <= o.id) as n from orders o
--- rows of tables
select p.id, to_jsonb(p) as j, p as whole, p is null as none, p::text as t from parts p
--- rows of tables by an outer join
select c.id, jsonb_agg(o order by o.id) as j, count(o) as n, count(distinct o.shape) as d from customers c left join orders o on o.customer_id = c.id and o.total > 3 group by c.id
--- rows of tables as keys
select b, count(*) as n, count(distinct b) as one from bag b group by b
--- distinct rows of tables
select count(distinct b) as n, array_agg(distinct b order by b) as a from bag b
--- rows of tables compared
select a.id, b.id as other from parts a join parts b on a = b where a.* is not distinct from b.*
--- rows of views
select o.id, row_to_json(o)::text as j from open_orders o
--- rows of tables renamed by an alias
select to_jsonb(t) as j, t.x from parts t (x, y)
--- rows of partitioned tables
select e.kind, json_agg(e order by e.id) as j from events e group by e.kind
--- row of a table in a subquery
select id, (select to_jsonb(c) from customers c where c.id = o.customer_id) as customer, (select jsonb_agg(i order by i.line) from items i where i.order_id = o.id) as items from orders o
--- counted rows of a subquery, each once
select count(distinct b.a) as n, count(t) as m from bag b left join (select a, b from bag where a > 0) t on t.a = b.a
--- limit and offset of subqueries
select id, total from orders order by total desc, id limit (select count(*) / 3 from orders) offset (select count(*) / 10 from customers)
--- limit of a subquery that is null
select id from orders order by id limit (select nullif(count(*), 5) from parts where id < 10)
--- offset of a subquery alone
select id, status from orders order by status nulls first, id desc offset (select max(id) from parts)
--- ties up to a subquery
select id, total from orders order by total fetch first (select count(*) / 5 from customers) rows with ties
--- limit of a subquery after distinct
select distinct total from orders order by total desc limit (select count(*) / 6 from customers)
--- limit of a subquery after a union
select id from orders union select id from customers order by 1 desc limit (select count(*) / 2 from parts)
--- limit of a subquery per row
select c.id, x.id as o from customers c cross join lateral (select o.id from orders o where o.customer_id = c.id order by o.id limit (select count(*) / 10 from customers)) x
--- aggregates of the query around a subquery
select status, exists (select from items i where i.qty = max(o.id % 5)) as e, (select sum(i.qty) from items i where i.line < count(o.id) and i.line > min(o.id)) as s from orders o group by status having max(o.id) > (select count(*) from customers c where c.id < min(o.id))
--- aggregates of the query around a subquery by sets
select status, customer_id, (select count(*) from parts p where p.id <= count(o.total)) as n from orders o group by rollup (status, customer_id)
--- an aggregate two queries further out
select status, (select max((select count(*) from items i where i.line = c.id and i.qty < max(o.total))) from customers c) as n from orders o group by status
--- parts of the clock in an output
select id, extract(year from now()) - extract(year from placed_at) as years, date_trunc('month', now()) > placed_at as past from orders
--- rows that are NULL in part or whole are counted
select g, count(p) as n, count(q) filter (where id > 3) as m, count(distinct p) as d from odd group by g
--- not in rows that are NULL in part or whole
select o.id, o.p not in (select y.q from odd y where y.g = 1 and y.q is distinct from null) as mark from odd o where o.p not in (select y.q from odd y where y.g = 2 and y.q is distinct from null)
--- blanks at the end (leaves a choice)
select b, count(*) as n, array_agg(distinct b) as a, array_agg(b order by g) as o, mode() within group (order by b) as m, (select max(y.b) from odd y where y.g = min(x.g)) as most from odd x group by b
--- blanks at the end in a union (leaves a choice)
select b from odd where g = 1 union select b from odd where id > 9
--- row comparison citext
select order_id, line from items where (qty, sku) >= (2, 'B1')
--- rows beside all citext
select order_id, line from items where (qty, sku) <> all (select id % 5, sku from products join parts on true)
--- full join asked of both sides
select o.id, c.id as c from orders o full join customers c on c.id = o.customer_id and exists (select from items i where i.order_id = o.id and i.qty >= c.parent)
--- full join asked of both sides by groups
select o.id, c.name, x.label from orders o full join customers c on c.id = o.customer_id and o.total > (select avg(i.price) from items i where i.order_id = o.id and i.qty <> c.parent) left join parts x on x.id = coalesce(o.id, c.id)
--- full join asked of both sides by limits
select o.status, count(c.id) as n from orders o full join customers c on c.id = o.customer_id and c.parent in (select i.qty from items i where i.order_id > o.id and i.line > c.id order by i.line limit 3) group by o.status
--- full join of a join, asked of both sides
select id, o.total, c.name, p.label from (orders o join customers c using (id)) full join parts p (nr, label) on p.nr = o.customer_id and not exists (select from items i where i.qty = c.parent and i.order_id = p.nr)
