{#- Granularity: the steps, in hours, at one phase of which nearly all changes of an instrument's series lie, with how many there are. `changes` has
    a row for each change and step: instrument_id, day, step, and phase (the hour within the step). -#}
{%- macro changes_in_step(changes) %}
        select instrument_id, step, sum(c) as n, min(first_day) as first_day, max(last_day) as last_day
        from (select instrument_id, step, phase, count(*) as c, min(day) as first_day, max(day) as last_day from {{ changes }} group by all)
        group by all
        having max(c) >= 0.98 * n
    {% endmacro %}
