-- What DuckDB's functions do and no function of Spark's does, by the names that `translate` gives them. A statement each.

create temporary function micros_of(t timestamp_ntz) returns bigint
return unix_micros(cast(t as timestamp_ltz));

-- The bounds between two times of a unit of so many microseconds, as DuckDB's `date_diff` counts them.
create temporary function bounds_between(a timestamp_ntz, b timestamp_ntz, unit bigint) returns bigint
return cast(floor(micros_of(b) / unit) - floor(micros_of(a) / unit) as bigint);

create temporary function from_micros(us bigint) returns timestamp_ntz
return cast(timestamp_micros(us) as timestamp_ntz);

create temporary function is_finite(x double) returns boolean
return not isnan(x) and abs(x) < double('Infinity');

-- A number as a whole one and back, exactly as DuckDB's HUGEINT: Spark's casts of its own go by decimal digits. The upper part is
-- cut, not floored: a small negative number would lose its last bits.
create temporary function whole_of(x double) returns decimal(38, 0)
return cast(cast(rint(x) / 1152921504606846976D as bigint) as decimal(38, 0)) * 1152921504606846976
    + cast(rint(x) - cast(rint(x) / 1152921504606846976D as bigint) * 1152921504606846976D as decimal(38, 0));

create temporary function upper_of(x decimal(38, 0)) returns bigint
return case when x >= 0 then x div 18446744073709551616 else (x + 1) div 18446744073709551616 - 1 end;

create temporary function real_of(x decimal(38, 0)) returns double
return case
    when upper_of(x) = -1 then cast(x as double)
    else cast(x - cast(upper_of(x) as decimal(38, 0)) * 18446744073709551616 as double) + upper_of(x) * 18446744073709551616D
end;

-- A decimal without the zeros at its end.
create temporary function trimmed(s string) returns string
return case when contains(s, '.') then regexp_replace(s, '\\.?0*$', '') else s end;

-- A number as DuckDB writes it: the shortest digits, with an exponent from 1e16 on and below 1e-4.
create temporary function text_of(x double) returns string
return case
    when isnan(x) then 'nan'
    when abs(x) = double('Infinity') then case when x > 0 then 'inf' else '-inf' end
    when abs(x) >= 1e16 or abs(x) < 1e-4 and x <> 0 then
        concat(
            trimmed(split_part(cast(x as string), 'E', 1)),
            case when abs(x) < 1 then 'e-' else 'e+' end,
            lpad(abs(cast(split_part(cast(x as string), 'E', 2) as int)), greatest(2, length(abs(cast(split_part(cast(x as string), 'E', 2) as int)))), '0'))
    when abs(x) >= 1e7 or abs(x) < 1e-3 and x <> 0 then
        concat(trimmed(cast(try_cast(x as decimal(38, 21)) as string)), case when x = floor(x) then '.0' else '' end)
    else cast(x as string)
end;

-- A number with so many digits, as `format('{:.3g}', x)` writes it.
create temporary function digits_of(x double, digits int) returns string
return case
    when x is null then null
    when isnan(x) or abs(x) = double('Infinity') then text_of(x)
    when cast(split_part(format_string('%.' || (digits - 1) || 'e', x), 'e', 2) as int) between -4 and digits - 1
        then trimmed(cast(cast(cast(format_string('%.' || (digits - 1) || 'e', x) as double) as decimal(38, 12)) as string))
    else concat(trimmed(split_part(format_string('%.' || (digits - 1) || 'e', x), 'e', 1)), 'e', split_part(format_string('%.' || (digits - 1) || 'e', x), 'e', 2))
end
