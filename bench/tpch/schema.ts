/** The tables of TPC-H with the columns and types of its specification (section 1.4); no keys yet, for loading. */
export const tables = `
create table region (
  r_regionkey int not null, r_name char(25) not null, r_comment varchar(152));
create table nation (
  n_nationkey int not null, n_name char(25) not null, n_regionkey int not null, n_comment varchar(152));
create table part (
  p_partkey int not null, p_name varchar(55) not null, p_mfgr char(25) not null, p_brand char(10) not null,
  p_type varchar(25) not null, p_size int not null, p_container char(10) not null,
  p_retailprice decimal(15, 2) not null, p_comment varchar(23) not null);
create table supplier (
  s_suppkey int not null, s_name char(25) not null, s_address varchar(40) not null, s_nationkey int not null,
  s_phone char(15) not null, s_acctbal decimal(15, 2) not null, s_comment varchar(101) not null);
create table partsupp (
  ps_partkey int not null, ps_suppkey int not null, ps_availqty int not null,
  ps_supplycost decimal(15, 2) not null, ps_comment varchar(199) not null);
create table customer (
  c_custkey int not null, c_name varchar(25) not null, c_address varchar(40) not null, c_nationkey int not null,
  c_phone char(15) not null, c_acctbal decimal(15, 2) not null, c_mktsegment char(10) not null,
  c_comment varchar(117) not null);
create table orders (
  o_orderkey bigint not null, o_custkey int not null, o_orderstatus char(1) not null,
  o_totalprice decimal(15, 2) not null, o_orderdate date not null, o_orderpriority char(15) not null,
  o_clerk char(15) not null, o_shippriority int not null, o_comment varchar(79) not null);
create table lineitem (
  l_orderkey bigint not null, l_partkey int not null, l_suppkey int not null, l_linenumber int not null,
  l_quantity decimal(15, 2) not null, l_extendedprice decimal(15, 2) not null, l_discount decimal(15, 2) not null,
  l_tax decimal(15, 2) not null, l_returnflag char(1) not null, l_linestatus char(1) not null,
  l_shipdate date not null, l_commitdate date not null, l_receiptdate date not null,
  l_shipinstruct char(25) not null, l_shipmode char(10) not null, l_comment varchar(44) not null);`

/** Primary keys, foreign keys, and indexes on foreign keys and dates, which the specification allows. */
export const keysAndIndexes: readonly string[] = [
  'alter table region add primary key (r_regionkey)',
  'alter table nation add primary key (n_nationkey)',
  'alter table part add primary key (p_partkey)',
  'alter table supplier add primary key (s_suppkey)',
  'alter table partsupp add primary key (ps_partkey, ps_suppkey)',
  'alter table customer add primary key (c_custkey)',
  'alter table orders add primary key (o_orderkey)',
  'alter table lineitem add primary key (l_orderkey, l_linenumber)',
  'create index on nation (n_regionkey)',
  'create index on supplier (s_nationkey)',
  'create index on partsupp (ps_suppkey)',
  'create index on customer (c_nationkey)',
  'create index on orders (o_custkey)',
  'create index on orders (o_orderdate)',
  'create index on lineitem (l_partkey, l_suppkey)',
  'create index on lineitem (l_suppkey)',
  'create index on lineitem (l_shipdate)',
  'create index on lineitem (l_receiptdate)',
  'alter table nation add foreign key (n_regionkey) references region',
  'alter table supplier add foreign key (s_nationkey) references nation',
  'alter table partsupp add foreign key (ps_partkey) references part',
  'alter table partsupp add foreign key (ps_suppkey) references supplier',
  'alter table customer add foreign key (c_nationkey) references nation',
  'alter table orders add foreign key (o_custkey) references customer',
  'alter table lineitem add foreign key (l_orderkey) references orders',
  'alter table lineitem add foreign key (l_partkey, l_suppkey) references partsupp',
]
