-- Subqueries that depend on their row by an equality and otherwise too, by concerned-rows.pg.test.ts: maintained over the writes
-- below and compared with the query after each of them.
-- schema
create table users (id int primary key, name text, since int, kind_id int, number numeric);
create table kind (id int primary key, label text);
create table event (id int generated always as identity primary key, user_id bigint, kind_id int, at int, amount numeric);
create table tag (id int primary key, word text, handle public.citext, blank char(4), weight float8, number numeric);
create table doc (id int, doc json, paid money);
insert into users select g, 'u' || g % 5, nullif(g % 7, 0), g % 4, g + 0.0 from generate_series(1, 30) g;
insert into kind select g, 'k' || g % 3 from generate_series(0, 4) g;
insert into event (user_id, kind_id, at, amount) select nullif(g % 31, 0), g % 6, g % 11, g % 5 from generate_series(1, 300) g;
insert into tag select g, chr(97 + g % 7), (array['A','a','b',null])[1 + g % 4], (array['x','x ','y',null])[1 + g % 4],
(array['0', '-0', 'NaN', '1']::float8[])[1 + g % 4], (array[1, 1.0, 2.00, null])[1 + g % 4] from generate_series(1, 40) g;
insert into doc select g, json_build_object('u', g % 9), g::money from generate_series(1, 20) g;
-- writes
insert into event (user_id, kind_id, at, amount) values (3, 1, 9, 2), (null, 1, 1, 1), (99, 2, 1, 1), (7, 0, 3, 8);
update users set since = since + 1, number = number + 1.00 where id < 5;
insert into users values (99, 'u9', null, null, null);
update event set user_id = user_id % 9, at = at + 1 where id % 10 = 0;
update kind set label = 'k9' where id = 2;
delete from doc where id = 3;
delete from event where user_id = 4;
update tag set handle = upper(handle::text), number = number * 1.000, blank = blank || ' ', weight = -weight where id % 3 = 0;
update users set id = id + 100 where id % 4 = 0;
update event set user_id = user_id + 100 where user_id % 8 = 0;
delete from users where id = 11;
delete from kind where id = 1;
delete from tag where id % 3 = 1;
update doc set doc = '{"u": 3}', paid = '2' where id = 8;
insert into event (user_id, at, amount) select 5, g, g from generate_series(1, 20) g;
-- queries
--- counted
select u.id, u.name, (select count(*) from event e where e.user_id = u.id and e.at > u.since) as n from users u
--- running
select e.id, (select sum(p.amount) from event p where p.user_id = e.user_id and p.at <= e.at) as total from event e
--- latest
select u.name, x.id, x.turn from users u left join lateral ( select e.id, row_number() over (order by e.at, e.id) as turn from event e where e.user_id = u.id and e.at < u.since order by e.at desc, e.id limit 2) x on true
--- grouped
select u.id, x.kind, x.n from users u cross join lateral ( select k.label as kind, count(*) as n from event e join kind k on k.id = e.kind_id where e.user_id = u.id and e.at between u.since - 3 and u.since group by k.label) x
--- beside groups
select u.id, (select max(g.most) from (select user_id, at, max(amount) as most from event group by user_id, at) g where g.user_id = u.id and g.at <> u.since) as most from users u
--- exists many
select u.id from users u where exists (select 1 from event e where e.user_id = u.id and e.at > u.since group by e.at having count(*) > 1)
--- not exists many
select u.id, not exists (select 1 from event e where e.user_id = u.id and e.at > u.since group by e.at having count(*) > 1) as b from users u
--- in first
select u.id from users u where u.since in (select e.at from event e where e.user_id = u.id and e.at >= u.since order by e.amount, e.id limit 2)
--- any first
select u.id, u.since > any (select e.at from event e where e.user_id = u.id and e.at <> u.id order by e.amount, e.id limit 3) as b from users u
--- two keys
select u.id, (select count(*) from event e where e.user_id = u.id and e.kind_id = u.kind_id and e.at > u.since) as n from users u
--- across
select u.id, (select min(e.at) from event e where e.user_id = u.number and e.amount > u.number) as a, (select string_agg(t.word, ',' order by t.word) from tag t where t.number = u.id and t.word > u.name) as b from users u
--- by look
select u.id, (select count(*) from tag t where t.number = u.number and t.word <> u.number::text) as n from users u
--- spelling
select w.word, (select count(*) from tag t where t.handle = w.handle and t.word < w.word) as n, (select count(*) from tag t where t.blank = w.blank and t.word < w.word) as m, (select count(*) from tag t where t.weight = w.weight and t.word <= w.word) as f from tag w
--- not distinct
select w.id, (select count(*) from tag t where t.number is not distinct from w.number and t.id < w.id) as n from tag w
--- nested
select u.id, (select count(*) from event e where e.user_id = u.id and e.at > u.since and e.amount > (select avg(p.amount) from event p where p.kind_id = e.kind_id and p.id <> e.id)) as n from users u
--- in the middle
select u.id, (select count(*) from event e left join kind k on k.id = e.kind_id and k.id > u.since where e.user_id = u.id and e.at > u.since and not exists (select from tag t where t.id = e.id and t.word > u.name)) as n from users u
--- unnamed
select x.n from users u cross join lateral (select count(*) as n from event e where e.user_id = u.id and e.at > u.since) x
--- joined
select u.name, k.label, (select count(*) from event e where e.user_id = u.id and e.kind_id = k.id and e.at > u.since + k.id) as n from users u join kind k on k.id >= u.kind_id
--- documents
select d.id, (select count(*) from event e where e.user_id = (d.doc ->> 'u')::int and e.at > d.paid::numeric) as n from doc d
--- united
select u.id, (select count(*) from (select e.id from event e where e.user_id = u.id and e.at > u.since union select t.id from tag t where t.number = u.id and t.word > u.name) x) as n from users u
--- grouping
select u.name, sum((select count(*) from event e where e.user_id = u.id and e.at > u.since)) as n from users u group by u.name
--- of money
select d.id, (select count(*) from doc o where o.paid = d.paid and o.id < d.id) as n from (select distinct on (id) id, paid from doc order by id, paid) d
--- union beneath
select u.id, x.n from users u cross join lateral (select e.at as n from event e where e.user_id = u.id and e.at > u.since union all select t.id from tag t where t.number = u.id and t.word > u.name order by 1 limit 3) x
--- full join beneath
select u.id, (select count(*) from (select at from event e where e.user_id = u.id and e.at > u.since) a full join (select at from event e where e.user_id = u.id and e.at < u.since + 4) b using (at)) as n from users u
--- of the clock
select u.id, (select count(*) from event e where e.user_id = u.id and e.at > u.since and timestamptz '2020-01-01' + e.at * interval '1 day' < now()) as n from users u
--- set-returning
select u.id, x.n from users u cross join lateral (select max(g) as n from event e cross join generate_series(1, e.at) g where e.user_id = u.id and g > u.since) x
--- recursion
select u.id, (select count(*) from (with recursive t(n) as (select 1 union all select n + 1 from t where n < 5) select n from t) t join event e on e.at = t.n where e.user_id = u.id and e.at > u.since) as n from users u
--- of a subquery
select s.since, (select count(*) from event e where e.user_id = s.users and e.at <> s.since) as n from (select since, count(*) as users from users group by since) s
--- united left
select l.n, (select max(e.at) from event e where e.user_id = l.n and e.at < l.n * 2) as most from (select id as n from users union all select id from kind) l
