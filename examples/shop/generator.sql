-- Fills the shop with two years of believable business, set by set, inside the server.
-- Every value is a hash of (seed, row, purpose): the same seed, size and last day give the same shop,
-- whatever the order or the size of the batches.

create schema shop_generator;

create table shop_generator.setting (
  singleton boolean primary key default true check (singleton),
  seed bigint not null,
  -- Order lines of the whole shop, exactly.
  lines bigint not null,
  orders bigint not null,
  -- What the last order keeps of its lines, so that the sum comes out.
  last_order_lines int not null,
  customers bigint not null,
  products bigint not null,
  first_day date not null,
  last_day date not null
);

-- The orders of a day are numbered in one run: history grows from its beginning.
create table shop_generator.day (
  day date primary key,
  first_order bigint not null,
  last_order bigint not null
);

-- Committed with the batch that it counts, so that a load that was cut off goes on where it was.
create table shop_generator.progress (
  singleton boolean primary key default true check (singleton),
  orders bigint not null default 0,
  lines bigint not null default 0
);

create table shop_generator.city (
  city text primary key,
  region text not null,
  upto float8 not null
);

create table shop_generator.category (
  category text primary key,
  nouns text[] not null,
  price_min numeric not null,
  price_max numeric not null
);

-- A number in [0, 1) out of a key and a purpose.
create function shop_generator.unit(key bigint, purpose bigint) returns float8
  language sql immutable parallel safe
  return (hashint8extended(key, purpose) & 9007199254740991)::float8 / 9007199254740992;

create function shop_generator.pick(words text[], unit float8) returns text
  language sql immutable parallel safe
  return words[1 + floor(unit * cardinality(words))::int];

-- How many lines an order has: most have a few, some have many.
create function shop_generator.line_count(unit float8) returns int
  language sql immutable parallel safe
  return case
    when unit < 0.20 then 1 when unit < 0.38 then 2 when unit < 0.54 then 3 when unit < 0.67 then 4
    when unit < 0.78 then 5 when unit < 0.86 then 6 when unit < 0.92 then 7 when unit < 0.96 then 8 else 10 end;

insert into shop_generator.city
select city, region, sum(weight) over (order by region, city) / (sum(weight) over ())::float8
from (values
  ('Madrid', 'Iberia', 33), ('Barcelona', 'Iberia', 28), ('Valencia', 'Iberia', 12), ('Lisbon', 'Iberia', 15), ('Porto', 'Iberia', 8),
  ('Paris', 'France', 44), ('Lyon', 'France', 16), ('Marseille', 'France', 13), ('Toulouse', 'France', 9), ('Nantes', 'France', 7),
  ('Berlin', 'Germany', 38), ('Hamburg', 'Germany', 22), ('Munich', 'Germany', 24), ('Cologne', 'Germany', 15), ('Leipzig', 'Germany', 9),
  ('Vienna', 'Alps', 20), ('Graz', 'Alps', 5), ('Zurich', 'Alps', 16), ('Geneva', 'Alps', 8),
  ('Milan', 'Italy', 27), ('Rome', 'Italy', 25), ('Turin', 'Italy', 10), ('Bologna', 'Italy', 8), ('Naples', 'Italy', 11),
  ('Amsterdam', 'Benelux', 21), ('Rotterdam', 'Benelux', 12), ('Utrecht', 'Benelux', 8), ('Brussels', 'Benelux', 14), ('Antwerp', 'Benelux', 9),
  ('Stockholm', 'Nordics', 18), ('Copenhagen', 'Nordics', 15), ('Oslo', 'Nordics', 13), ('Helsinki', 'Nordics', 11), ('Gothenburg', 'Nordics', 7),
  ('London', 'Isles', 52), ('Manchester', 'Isles', 17), ('Dublin', 'Isles', 14), ('Edinburgh', 'Isles', 9), ('Bristol', 'Isles', 8)
) as place (city, region, weight);

insert into shop_generator.category values
  ('Audio', '{Headphones,Speaker,Turntable,Microphone,Earbuds,Soundbar}', 19, 420),
  ('Books', '{Novel,Atlas,Cookbook,Biography,Handbook,Comic}', 6, 48),
  ('Coffee', '{Grinder,Kettle,Espresso Beans,Filter Set,Moka Pot,Tamper}', 8, 260),
  ('Cycling', '{Helmet,Saddle,Jersey,Pannier,Front Light,Pump}', 12, 190),
  ('Furniture', '{Desk,Armchair,Bookshelf,Side Table,Stool,Bed Frame}', 59, 890),
  ('Garden', '{Planter,Pruner,Hose,Bird Feeder,Lantern,Trowel}', 7, 120),
  ('Kitchen', '{Chef Knife,Saucepan,Skillet,Cutting Board,Mixing Bowl,Scale}', 11, 210),
  ('Office', '{Notebook,Fountain Pen,Desk Lamp,Monitor Arm,Organiser,Stapler}', 4, 160),
  ('Outdoor', '{Tent,Backpack,Sleeping Bag,Trail Stove,Headlamp,Water Bottle}', 14, 380),
  ('Pets', '{Collar,Cat Tree,Feeding Bowl,Carrier,Chew Toy,Dog Bed}', 5, 110),
  ('Sports', '{Yoga Mat,Kettlebell,Racket,Running Belt,Jump Rope,Foam Roller}', 9, 150),
  ('Toys', '{Puzzle,Train Set,Building Blocks,Plush Bear,Board Game,Kite}', 8, 95);

-- Decides the size and the calendar of the shop, and makes its customers and products.
create procedure shop_generator.found(seed bigint, lines bigint, last_day date)
language plpgsql as $$
declare
  first_day constant date := last_day - 729;
  salt constant bigint := seed * 64;
  order_count bigint;
  lines_before bigint;
begin
  select reached.order_id, reached.lines_upto - reached.line_count
  into strict order_count, lines_before
  from (
    select order_id, line_count, sum(line_count) over (order by order_id) as lines_upto
    from (
      select order_id, shop_generator.line_count(shop_generator.unit(order_id, salt + 1)) as line_count
      from generate_series(1, lines) as order_id
      -- An order has 3.7 lines in the mean; half as many orders as lines are always enough from 200 on.
      where order_id <= greatest(200, lines / 2)
    ) as counted
  ) as reached
  where reached.lines_upto >= lines
  order by reached.order_id
  limit 1;

  insert into shop_generator.setting
    (seed, lines, orders, last_order_lines, customers, products, first_day, last_day)
  values (seed, lines, order_count, lines - lines_before, greatest(200, lines / 30), 1200, first_day, last_day);
  insert into shop_generator.progress default values;

  -- Trade grows by half over the two years, peaks before Christmas, and rests in August and on Sundays.
  with weighed as (
    select day::date as day,
      (1 + 0.5 * (day::date - first_day) / 729.0)
      * (array[0.86, 0.84, 0.95, 0.98, 1.02, 1.0, 0.94, 0.82, 1.0, 1.06, 1.34, 1.48])[extract(month from day)::int]
      * (array[1.05, 1.0, 0.98, 1.02, 1.12, 1.08, 0.74])[extract(isodow from day)::int]
      * (0.9 + 0.2 * shop_generator.unit(day::date - date '2000-01-01', salt + 2)) as weight
    from generate_series(first_day::timestamp, last_day::timestamp, interval '1 day') as day
  ), shared as (
    select day, round(order_count * sum(weight) over (order by day) / sum(weight) over ())::bigint as upto
    from weighed
  )
  insert into shop_generator.day
  select day, coalesce(lag(upto) over (order by day), 0) + 1, upto from shared;

  insert into products (product_id, sku, name, category, price)
  select id,
    upper(left(category, 3)) || '-' || to_char(id, 'FM00000'),
    shop_generator.pick('{Nordic,Classic,Compact,Foldable,Studio,Travel,Vintage,Everyday,Premium,Light,Solid,Urban,Alpine,Silent,Handmade,Little}', shop_generator.unit(id, salt + 3))
      || ' ' || shop_generator.pick(nouns, shop_generator.unit(id, salt + 4)) || ' ' || (10 + id % 90),
    category,
    -- Prices lie close together at the low end and end in .90 or .49.
    floor(price_min * (price_max / price_min) ^ (shop_generator.unit(id, salt + 5) ^ 2))
      + case when shop_generator.unit(id, salt + 6) < 0.7 then 0.90 else 0.49 end
  from generate_series(1, 1200) as id
  join (select *, row_number() over (order by category) as number from shop_generator.category) as kind
    on kind.number = 1 + id % 12;

  -- Two in five customers were there before the first day; the others joined as time went by.
  insert into customers (customer_id, name, email, city, region, joined_on)
  select id, first_name || ' ' || last_name,
    translate(lower(first_name || '.' || last_name), 'ü', 'u') || id || '@example.com', place.city, place.region,
    setting.first_day + greatest(-700, floor(730 * (id::float8 / setting.customers - 0.4) / 0.6) - 2)::int
  from shop_generator.setting
  cross join lateral generate_series(1, setting.customers) as id
  cross join lateral (select
    shop_generator.pick('{Anna,Lucas,Marie,Noah,Sofia,Liam,Emma,Mateo,Clara,Hugo,Ines,Jonas,Julia,Leo,Nora,Oscar,Elena,Felix,Alice,Marco,Ida,Paul,Lea,Diego,Freya,Adam,Giulia,Erik,Zoe,Tomas,Irene,Arthur,Lina,Victor,Maja,Simon,Carla,Theo,Amelia,Nils}', shop_generator.unit(id, salt + 7)) as first_name,
    shop_generator.pick('{Garcia,Martin,Rossi,Müller,Jansen,Silva,Dubois,Hansen,Smith,Weber,Ferrari,Moreau,Lindberg,Novak,Costa,Fischer,Walsh,Bakker,Romero,Petit,Nilsson,Keller,Ricci,Murphy,Lopez,Visser,Laurent,Berg,Schmidt,Marino,Evans,Peeters,Ortega,Virtanen,Bauer,Conti,Byrne,Ferreira,Roux,Holm}', shop_generator.unit(id, salt + 8)) as last_name
  ) as called
  cross join lateral (
    select city, region from shop_generator.city
    where upto > shop_generator.unit(id, salt + 9)
    order by upto limit 1
  ) as place;

  -- Live business is numbered from here on.
  perform setval('orders_order_id_seq', 1000000 + 10 * order_count),
    setval('payments_payment_id_seq', 1000000 + 10 * order_count),
    setval('refunds_refund_id_seq', 1000000 + 10 * order_count),
    setval('customers_customer_id_seq', (select customers from shop_generator.setting)),
    setval('products_product_id_seq', 1200);
end
$$;

-- Writes the next orders, whole ones, with their lines, payments and refunds; returns how far the load is.
-- One statement, so that no reader and no view sees an order without its lines.
create function shop_generator.load(batch bigint, out orders_loaded bigint, out lines_loaded bigint)
language plpgsql as $$
declare
  setting shop_generator.setting;
  progress shop_generator.progress;
  salt bigint;
begin
  select * into strict setting from shop_generator.setting;
  select * into strict progress from shop_generator.progress for update;
  salt := setting.seed * 64;

  with numbered as materialized (
    select order_id, day.day,
      (order_id - 1)::float8 / setting.orders as age,
      -- Prices were 8 % lower two years ago.
      (0.92 + 0.08 * (order_id - 1)::float8 / setting.orders)::numeric as price_level,
      (day.day - setting.first_day)::float8 / 730 as elapsed,
      setting.last_day - day.day as days_ago
    from shop_generator.day
    cross join lateral generate_series(
      greatest(day.first_order, progress.orders + 1), least(day.last_order, progress.orders + batch)
    ) as order_id
    where day.last_order > progress.orders and day.first_order <= progress.orders + batch
  ), line as materialized (
    select order_id, line_no, product_id, quantity,
      round(price * price_level, 2) as unit_price
    from numbered
    cross join lateral generate_series(1, case when order_id = setting.orders then setting.last_order_lines
      else shop_generator.line_count(shop_generator.unit(order_id, salt + 1)) end) as line_no
    cross join lateral (select
      -- Few products sell often, many seldom; 389 shares no factor with 1200 and scatters them over the categories.
      1 + (389 * floor(setting.products * shop_generator.unit(order_id * 16 + line_no, salt + 10) ^ 1.6)::bigint) % setting.products as product_id,
      case when shop_generator.unit(order_id * 16 + line_no, salt + 11) < 0.72 then 1
        else 1 + ceil(4 * shop_generator.unit(order_id * 16 + line_no, salt + 12) ^ 2)::int end as quantity
    ) as chosen
    join products using (product_id)
  ), placed as materialized (
    select order_id,
      -- Regulars order often: low numbers, of those who had joined by then.
      1 + floor((setting.customers * (0.4 + 0.6 * elapsed) - 1) * shop_generator.unit(order_id, salt + 13) ^ 1.25)::bigint as customer_id,
      day + make_interval(secs => floor(25200 + 28800 * (shop_generator.unit(order_id, salt + 14) + shop_generator.unit(order_id, salt + 15)))) as ordered_at,
      shop_generator.unit(order_id, salt + 16) as channel_unit,
      case
        when shop_generator.unit(order_id, salt + 17) < 0.025 then 'cancelled'
        -- One in a hundred never pays; of the last month's, many have not paid yet.
        when shop_generator.unit(order_id, salt + 18) < 0.01 + 0.25 * exp(-days_ago / 9.0) then 'placed'
        when days_ago < 2 then 'paid'
        when days_ago < 6 then 'shipped'
        else 'delivered' end as status,
      total, age
    from numbered
    join (select order_id, sum(quantity * unit_price) as total from line group by order_id) as summed using (order_id)
  ), paid as materialized (
    select order_id * 2 + part as payment_id, order_id,
      ordered_at + make_interval(secs => floor(40 + 86400 * (part + 2 * shop_generator.unit(order_id * 2 + part, salt + 19) ^ 8))) as paid_at,
      case
        when method_unit < 0.52 - 0.14 * age then 'card'
        when method_unit < 0.72 - 0.14 * age then 'paypal'
        when method_unit < 0.78 + 0.06 * age then 'wallet'
        when method_unit < 0.92 then 'transfer'
        else 'instalments' end as method,
      case when method_unit < 0.92 then total when part = 0 then round(total / 2, 2) else total - round(total / 2, 2) end as amount
    from placed
    cross join lateral (select shop_generator.unit(order_id, salt + 20) as method_unit) as chosen
    cross join lateral generate_series(0, case when method_unit < 0.92 or total < 1 then 0 else 1 end) as part
    where status not in ('placed', 'cancelled')
  ), refunded as materialized (
    select payment_id, paid_at + make_interval(days => 2 + floor(20 * shop_generator.unit(payment_id, salt + 22))::int) as refunded_at,
      -- Three in five refunds are partial.
      case when shop_generator.unit(payment_id, salt + 23) < 0.4 then amount
        else round(amount * (0.1 + 0.7 * shop_generator.unit(payment_id, salt + 24))::numeric, 2) end as amount,
      shop_generator.pick('{damaged,late,wrong item,changed mind,better price}', shop_generator.unit(payment_id, salt + 25)) as reason
    from paid
    where amount > 1 and shop_generator.unit(payment_id, salt + 21) < 0.04
      and paid_at < setting.last_day - 22
  ), orders_written as (
    insert into orders (order_id, customer_id, ordered_at, channel, status, total)
    select order_id, customer_id, ordered_at at time zone 'UTC',
      case when channel_unit < 0.55 then 'web' when channel_unit < 0.85 then 'app' when channel_unit < 0.95 then 'marketplace' else 'phone' end,
      status, total
    from placed order by order_id
  ), lines_written as (
    insert into order_lines (order_id, line_no, product_id, quantity, unit_price)
    select order_id, line_no, product_id, quantity, unit_price from line
    returning 1
  ), payments_written as (
    insert into payments (payment_id, order_id, paid_at, method, amount)
    select payment_id, order_id, paid_at at time zone 'UTC', method, amount from paid
  ), refunds_written as (
    insert into refunds (refund_id, payment_id, refunded_at, amount, reason)
    select payment_id, payment_id, refunded_at at time zone 'UTC', amount, reason from refunded
  )
  update shop_generator.progress as done
  set orders = least(progress.orders + batch, setting.orders),
    lines = progress.lines + (select count(*) from lines_written)
  returning done.orders, done.lines into orders_loaded, lines_loaded;
end
$$;
