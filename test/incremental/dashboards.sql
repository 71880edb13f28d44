-- Queries as dashboards have them: long, of several parts, each over the same small shop. dashboards.pg.test.ts maintains them
-- from what changes and compares them with the query after each of the writes.
-- schema
create extension if not exists citext with schema public;
create table users (
  id int primary key, email public.citext unique, country text, plan text, signed_up timestamptz not null, referred_by int);
create table visits (
  id bigint primary key, user_id int not null, at timestamptz not null, channel text, page text);
create index on visits (user_id, at);
create table orders (
  id bigint primary key, user_id int not null, placed_at timestamptz not null, status text not null, currency text);
create index on orders (user_id);
create table order_lines (
  order_id bigint not null, line int not null, product_id int not null, quantity int not null,
  unit_price numeric(10, 2) not null, discount numeric(4, 3), primary key (order_id, line));
create index on order_lines (product_id);
create table products (
  id int primary key, category_id int, name text not null, cost numeric(10, 2), tags text[] not null default '{}',
  attributes jsonb not null default '{}');
create table categories (id int primary key, parent_id int, name text not null, sort int);
create table stock_moves (
  id bigint primary key, product_id int not null, warehouse text not null, moved_at timestamptz not null,
  quantity int not null, unit_cost numeric(10, 4), reason text);
create index on stock_moves (product_id, moved_at);
create table entries (
  id bigint primary key, account int not null, booked_on date not null, amount numeric(12, 2) not null, memo text);
create index on entries (account, booked_on);
create table budgets (account int, month date, amount numeric(12, 2), primary key (account, month));
create table employees (
  id int primary key, manager_id int, name text not null, department text, salary numeric(10, 2), left_on date);
insert into users
select g, 'User' || g || '@example.org', (array['DE', 'FR', 'US', null])[1 + g % 4], (array['free', 'pro'])[1 + g % 2],
  '2025-11-03'::timestamptz + g * interval '31 hours', nullif(g / 3, 0)
from generate_series(1, 60) g;
insert into visits
select g, 1 + g * 7 % 60, '2025-11-03'::timestamptz + g * interval '5 hours', (array['ad', 'mail', 'search', null])[1 + g % 4],
  (array['home', 'product', 'cart', 'checkout', 'thanks'])[1 + (g * g + g / 3) % 5]
from generate_series(1, 700) g;
insert into orders
select g, 1 + g * 11 % 60, '2025-11-05'::timestamptz + g * interval '17 hours', (array['paid', 'paid', 'open', 'refunded'])[1 + g % 4],
  (array['EUR', 'USD'])[1 + g % 2]
from generate_series(1, 160) g;
insert into order_lines
select 1 + g % 160, g, 1 + g * 5 % 24, 1 + g % 4, 3 + g % 19, case when g % 3 = 0 then 0.100 end from generate_series(1, 420) g;
insert into products
select g, 1 + g % 12, 'Product ' || g, 1 + g % 9, case when g % 3 = 0 then array['sale', 'new'] else array['new'] end,
  jsonb_build_object('colour', (array['red', 'blue'])[1 + g % 2], 'weight', g % 5)
from generate_series(1, 24) g;
insert into categories
select g, case when g <= 3 then null else g / 3 end, 'Category ' || g, g % 4 from generate_series(1, 14) g;
insert into stock_moves
select g, 1 + g * 5 % 24, (array['north', 'south'])[1 + g % 2], '2025-11-01'::timestamptz + g * interval '19 hours',
  case when g % 3 = 0 then -(g % 5) else g % 11 end, (g % 7)::numeric / 3, (array['sale', 'purchase', 'count'])[1 + g % 3]
from generate_series(1, 260) g;
insert into entries
select g, 1 + g % 5, '2025-11-01'::date + g % 120, (g % 41 - 17) * 1.25, 'm' || g % 3 from generate_series(1, 240) g;
insert into budgets
select a, m::date, 20 * a from generate_series(1, 6) a, generate_series('2025-11-01'::date, '2026-02-01', interval '1 month') m;
insert into employees
select g, case when g = 1 then null else 1 + (g - 2) / 3 end, 'E' || g, (array['dev', 'ops', 'sales'])[1 + g % 3], 1000 + g * 17,
  case when g % 11 = 0 then '2026-01-01'::date end
from generate_series(1, 40) g;
-- writes
insert into orders values (1000, 7, '2026-02-20', 'paid', 'EUR'), (1001, 8, '2026-02-21', 'open', 'USD');
insert into order_lines values (1000, 1, 3, 2, 9.99, null), (1000, 2, 5, 1, 100, 0.5), (1001, 1, 3, 1, 9.99, null);
update orders set status = 'paid' where id = 1001;
update orders set status = 'refunded' where id % 13 = 0;
delete from order_lines where order_id % 17 = 3;
update order_lines set quantity = quantity + 1 where product_id = 5;
delete from orders where id % 19 = 4;
update orders set user_id = 3, placed_at = placed_at + interval '40 days' where id in (10, 11, 12);
insert into visits select 2000 + g, 1 + g % 60, '2026-02-01'::timestamptz + g * interval '50 minutes', 'ad', (array['cart', 'checkout', 'thanks'])[1 + g % 3] from generate_series(1, 60) g;
delete from visits where page = 'thanks' and id % 4 = 0;
update visits set channel = 'mail', at = at - interval '9 days' where id % 31 = 0;
update users set signed_up = signed_up - interval '20 days', plan = 'pro' where id % 7 = 0;
delete from users where id in (5, 17);
insert into users values (100, 'New@example.org', 'US', 'free', '2026-02-10', 3), (5, 'user5@EXAMPLE.org', null, 'pro', '2025-12-01', null);
update products set category_id = 4, tags = tags || 'moved'::text where id % 6 = 1;
update products set cost = null, attributes = attributes || '{"colour": "green"}' where id = 3;
delete from products where id = 9;
update categories set parent_id = 2 where id = 13;
update categories set parent_id = null where id = 4;
insert into categories values (20, 4, 'Deep', 1), (21, 20, 'Deeper', 1);
update products set category_id = 21 where id in (1, 2);
delete from categories where id = 5;
insert into stock_moves values (900, 3, 'north', '2026-01-15', 30, 2.5, 'purchase'), (901, 3, 'north', '2026-02-15', -12, null, 'sale');
update stock_moves set quantity = -quantity where id % 29 = 0;
delete from stock_moves where product_id = 6;
update stock_moves set warehouse = 'west' where id % 10 = 0;
insert into entries values (900, 2, '2025-12-24', 500, 'gift'), (901, 9, '2025-12-24', 1, null);
update entries set amount = amount * 2 where account = 3 and id % 2 = 0;
update entries set account = 4 where account = 1 and booked_on < '2025-12-01';
delete from entries where memo = 'm1' and booked_on > '2026-01-15';
update budgets set amount = amount + 55 where account % 2 = 0;
delete from budgets where account = 3;
update employees set manager_id = 4 where id in (20, 21, 22);
update employees set salary = salary * 1.1, department = 'dev' where manager_id = 2;
insert into employees values (70, 20, 'E70', 'ops', 900, null), (71, 70, 'E71', null, 901, null);
update employees set left_on = null where id = 11;
delete from employees where id in (39, 40);
truncate visits;
insert into visits select g, 1 + g % 60, '2025-11-20'::timestamptz + g * interval '11 hours', 'search', (array['home', 'product', 'cart', 'checkout', 'thanks'])[1 + g % 5] from generate_series(1, 200) g;
delete from order_lines;
insert into order_lines select 1 + g % 160, g, 1 + g % 24, 1, 10, null from generate_series(1, 90) g;
-- queries
--- cohort retention
with first_visit as (
  select u.id as user_id, u.country, date_trunc('week', u.signed_up) as cohort
  from users u
),
cohort_size as (
  select cohort, country, count(*) as users
  from first_visit
  group by cohort, country
),
activity as (
  select distinct f.user_id, f.cohort, f.country,
    (extract(epoch from date_trunc('week', v.at) - f.cohort) / 604800)::int as week
  from first_visit f
  join visits v on v.user_id = f.user_id and v.at >= f.cohort
),
retained as (
  select cohort, country, week, count(*) as active
  from activity
  where week between 0 and 12
  group by cohort, country, week
),
revenue as (
  select f.cohort, f.country,
    (extract(epoch from date_trunc('week', o.placed_at) - f.cohort) / 604800)::int as week,
    sum(l.quantity * l.unit_price * (1 - coalesce(l.discount, 0))) as amount
  from first_visit f
  join orders o on o.user_id = f.user_id and o.status = 'paid'
  join order_lines l on l.order_id = o.id
  group by 1, 2, 3
)
select s.cohort, s.country, s.users, r.week, r.active,
  round(100.0 * r.active / s.users, 1) as retention,
  r.active - lag(r.active) over w as change,
  first_value(r.active) over w as at_first,
  coalesce(m.amount, 0) as revenue,
  sum(coalesce(m.amount, 0)) over (w rows unbounded preceding) as revenue_so_far
from cohort_size s
join retained r on r.cohort = s.cohort and r.country is not distinct from s.country
left join revenue m on m.cohort = r.cohort and m.country is not distinct from r.country and m.week = r.week
window w as (partition by s.cohort, s.country order by r.week)
--- funnel
with steps as (
  select * from (values (1, 'home'), (2, 'product'), (3, 'cart'), (4, 'checkout'), (5, 'thanks')) as s (step, page)
),
reached as (
  select v.user_id, s.step, min(v.at) as at, (array_agg(v.channel order by v.at, v.id))[1] as channel
  from visits v
  join steps s on s.page = v.page
  group by v.user_id, s.step
),
in_order as (
  select r.user_id, r.step, r.at, r.channel,
    exists (
      select from reached p
      where p.user_id = r.user_id and p.step = r.step - 1 and p.at <= r.at
    ) or r.step = 1 as follows,
    r.at - (select max(p.at) from reached p where p.user_id = r.user_id and p.step = r.step - 1 and p.at <= r.at) as took
  from reached r
),
bought as (
  select distinct on (o.user_id) o.user_id, o.id as order_id, o.placed_at
  from orders o
  where o.status <> 'refunded'
  order by o.user_id, o.placed_at, o.id
),
counted as (
  select i.step, coalesce(i.channel, 'unknown') as channel, u.plan,
    count(*) as users,
    count(*) filter (where i.follows) as in_order,
    percentile_cont(0.5) within group (order by extract(epoch from i.took)) as median_seconds,
    count(b.order_id) filter (where b.placed_at >= i.at) as bought_after
  from in_order i
  join users u on u.id = i.user_id
  left join bought b on b.user_id = i.user_id
  group by grouping sets ((i.step, i.channel, u.plan), (i.step, u.plan), (i.step))
)
select s.step, s.page, c.channel, c.plan, c.users, c.in_order, c.median_seconds, c.bought_after,
  round(c.users::numeric / nullif((select count(distinct v.user_id) from visits v where v.page = 'home'), 0), 3) as of_home,
  rank() over (partition by s.step order by c.users desc) as place
from steps s
left join counted c on c.step = s.step
--- running balances
with days as (
  select account, booked_on, sum(amount) as amount, count(*) as entries,
    string_agg(memo, ', ' order by memo, id) as memos
  from entries
  group by account, booked_on
),
balanced as (
  select account, booked_on, amount, entries, memos,
    sum(amount) over (partition by account order by booked_on) as balance,
    avg(amount) over (partition by account order by booked_on range between interval '14 days' preceding and current row) as fortnight,
    max(booked_on) over (partition by account) as last_day,
    lead(booked_on) over (partition by account order by booked_on) as next_day
  from days
),
months as (
  select account, date_trunc('month', booked_on)::date as month, sum(amount) as amount,
    min(balance) as lowest, max(balance) as highest,
    bool_or(balance < 0) as overdrawn
  from balanced
  group by account, date_trunc('month', booked_on)
),
compared as (
  select coalesce(m.account, b.account) as account, coalesce(m.month, b.month) as month,
    m.amount, b.amount as budget, m.lowest, m.highest, m.overdrawn,
    case
      when b.amount is null then 'no budget'
      when m.amount is null then 'nothing booked'
      when m.amount > b.amount then 'over'
      else 'within'
    end as verdict
  from months m
  full join budgets b on b.account = m.account and b.month = m.month
)
select c.account, c.month, c.amount, c.budget, c.lowest, c.highest, c.overdrawn, c.verdict,
  (
    select d.balance from balanced d
    where d.account = c.account and d.booked_on < c.month + interval '1 month'
    order by d.booked_on desc
    limit 1
  ) as closing,
  (
    select count(*) from balanced d
    where d.account = c.account and d.balance < 0
      and (d.next_day is null or d.next_day - d.booked_on > 3)
  ) as long_overdrawn,
  sum(c.amount) over (partition by c.account order by c.month) as year_to_date
from compared c
--- recency, frequency, money
with paid as (
  select o.user_id, o.id, o.placed_at, sum(l.quantity * l.unit_price * (1 - coalesce(l.discount, 0))) as amount
  from orders o
  join order_lines l on l.order_id = o.id
  where o.status = 'paid'
  group by o.user_id, o.id, o.placed_at
),
per_user as (
  select u.id, u.email, u.country, u.plan,
    max(p.placed_at) as last_order, count(p.id) as orders, coalesce(sum(p.amount), 0) as money,
    count(distinct date_trunc('month', p.placed_at)) as months
  from users u
  left join paid p on p.user_id = u.id
  group by u.id
),
scored as (
  select *,
    case when last_order is null then 0 else ntile(4) over (order by last_order nulls first, id) end as recency,
    ntile(4) over (order by orders, id) as frequency,
    ntile(4) over (order by money, id) as worth
  from per_user
),
named as (
  select s.*,
    case
      when recency >= 4 and frequency >= 3 then 'champion'
      when frequency >= 3 then 'loyal'
      when recency = 0 then 'never bought'
      when recency <= 2 and worth >= 3 then 'at risk'
      else 'other'
    end as segment
  from scored s
)
select n.segment, n.plan, count(*) as users, sum(n.money) as money, avg(n.orders) as orders,
  min(n.last_order) as longest_ago,
  count(*) filter (where n.email is distinct from 'user7@example.org') as others,
  array_agg(n.id order by n.money desc, n.id) filter (where n.worth = 4) as best,
  jsonb_agg(jsonb_build_object('id', n.id, 'money', n.money) order by n.id) as members,
  (
    select p.name
    from order_lines l
    join orders o on o.id = l.order_id
    join products p on p.id = l.product_id
    join named x on x.id = o.user_id
    where x.segment = n.segment
    group by p.name
    order by sum(l.quantity) desc, p.name
    limit 1
  ) as favourite
from named n
group by n.segment, n.plan
having count(*) > 0 and sum(n.money) >= 0
--- inventory ageing
with level as (
  select product_id, warehouse, sum(quantity) as on_hand, max(moved_at) filter (where quantity < 0) as last_out
  from stock_moves
  group by product_id, warehouse
),
received as (
  select id, product_id, warehouse, moved_at, quantity, unit_cost,
    sum(quantity) over (partition by product_id, warehouse order by moved_at desc, id desc) as so_far
  from stock_moves
  where quantity > 0
),
layers as (
  select l.product_id, l.warehouse, l.on_hand, l.last_out, r.moved_at, r.unit_cost,
    greatest(least(r.quantity, l.on_hand - (r.so_far - r.quantity)), 0) as remaining
  from level l
  join received r on r.product_id = l.product_id and r.warehouse = l.warehouse and r.so_far - r.quantity < l.on_hand
),
aged as (
  select y.product_id, y.warehouse, a.bucket, sum(y.remaining) as quantity, sum(y.remaining * coalesce(y.unit_cost, p.cost, 0)) as value
  from layers y
  join products p on p.id = y.product_id
  cross join lateral (
    select case
      when y.moved_at >= '2026-02-01' then '0-30'
      when y.moved_at >= '2026-01-01' then '31-60'
      else 'older'
    end as bucket
  ) a
  where y.remaining > 0
  group by y.product_id, y.warehouse, a.bucket
)
select p.id, p.name, g.warehouse, g.bucket, g.quantity, g.value, t.tag, latest.moves, sold.quantity as sold, sold.last_sold,
  p.attributes ->> 'colour' as colour,
  g.quantity - coalesce(sold.quantity, 0) > 0 as more_than_sold
from products p
join aged g on g.product_id = p.id
left join lateral (
  select jsonb_agg(m order by m.moved_at desc, m.id desc) as moves
  from (
    select s.id, s.moved_at, s.quantity, s.reason
    from stock_moves s
    where s.product_id = p.id and s.warehouse = g.warehouse
    order by s.moved_at desc, s.id desc
    limit 3
  ) m
) latest on true
left join lateral (
  select sum(l.quantity) as quantity, max(o.placed_at) as last_sold
  from order_lines l
  join orders o on o.id = l.order_id and o.status in ('paid', 'open')
  where l.product_id = p.id
  having sum(l.quantity) > 1
) sold on true
left join lateral unnest(p.tags) as t (tag) on t.tag <> 'new'
where not exists (select from categories c where c.id = p.category_id and c.name = 'Category 7')
--- category tree
with recursive tree as (
  select c.id, c.parent_id, c.name, 1 as depth, array[c.id] as path, c.name as full_name
  from categories c
  where c.parent_id is null
  union all
  select c.id, c.parent_id, c.name, t.depth + 1, t.path || c.id, t.full_name || ' / ' || c.name
  from categories c
  join tree t on t.id = c.parent_id
  where not c.id = any (t.path)
),
sales as (
  select p.category_id, o.currency, sum(l.quantity) as pieces, sum(l.quantity * l.unit_price) as amount,
    count(distinct o.user_id) as buyers
  from order_lines l
  join products p on p.id = l.product_id
  join orders o on o.id = l.order_id
  where o.status = 'paid'
  group by p.category_id, o.currency
),
rolled_up as (
  select a.id, s.currency, sum(s.pieces) as pieces, sum(s.amount) as amount
  from tree a
  join tree d on a.id = any (d.path)
  join sales s on s.category_id = d.id
  group by a.id, s.currency
),
best as (
  select t.id, x.product_id, x.pieces
  from tree t
  cross join lateral (
    select l.product_id, sum(l.quantity) as pieces
    from order_lines l
    join products p on p.id = l.product_id
    where p.category_id = t.id
    group by l.product_id
    order by pieces desc, l.product_id
    limit 2
  ) x
)
select t.id, t.full_name, t.depth, r.currency, r.pieces, r.amount, s.pieces as own_pieces, s.buyers,
  round(100 * r.amount / nullif(sum(r.amount) filter (where t.depth = 1) over (partition by r.currency), 0), 2) as share,
  (select count(*) from tree d where t.id = any (d.path) and d.id <> t.id) as below,
  array(select b.product_id from best b where b.id = t.id order by b.pieces desc, b.product_id) as best
from tree t
left join rolled_up r on r.id = t.id
left join sales s on s.category_id = t.id and s.currency = r.currency
--- organisation
with recursive chart as (
  select e.id, e.manager_id, e.name, e.department, e.salary, 0 as level, e.id as top
  from employees e
  where e.manager_id is null
  union
  select e.id, e.manager_id, e.name, e.department, e.salary, c.level + 1, c.top
  from employees e
  join chart c on c.id = e.manager_id
),
above (id, boss) as (
  select id, manager_id from employees where manager_id is not null
  union
  select a.id, e.manager_id
  from above a
  join employees e on e.id = a.boss
  where e.manager_id is not null
),
team as (
  select a.boss as id, count(*) as people, sum(e.salary) as cost,
    count(*) filter (where e.left_on is null) as active,
    avg(e.salary) as mean
  from above a
  join employees e on e.id = a.id
  group by a.boss
),
paid as (
  select department, percentile_disc(0.5) within group (order by salary) as median, stddev_samp(salary) as spread
  from employees
  where left_on is null
  group by department
)
select c.id, c.name, c.level, c.department, c.salary, t.people, t.cost, t.active,
  c.salary - p.median as from_median, p.spread,
  c.salary > all (select d.salary from chart d where d.manager_id = c.id) as above_reports,
  dense_rank() over (partition by c.department order by c.salary desc) as place,
  (select string_agg(b.name, ' > ' order by b.level) from above a join chart b on b.id = a.boss where a.id = c.id) as chain
from chart c
left join team t on t.id = c.id
left join paid p on p.department is not distinct from c.department
