-- What maintenance programs of partitioned views need beside their own objects.

-- How far a bound of a range of time has to be moved away, so that the range holds whatever has the same local time: nothing,
-- or a day where clocks are put back or on within a day of it. In no zone are they twice within two days.
create function tidemark.clock_margin(instant timestamptz, zone text) returns interval
language sql stable parallel safe set search_path = pg_catalog, pg_temp as $$
  select case
    when (instant - interval '24 hours') at time zone zone + interval '48 hours' = (instant + interval '24 hours') at time zone zone
    then interval '0' else interval '24 hours' end
$$;
create function tidemark.clock_margin(local_time timestamp, zone text) returns interval
language sql stable parallel safe set search_path = pg_catalog, pg_temp as $$
  select tidemark.clock_margin(local_time at time zone zone, zone)
$$;

call tidemark.close_to_public();
