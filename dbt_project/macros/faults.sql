{#
  Series are judged by month, each month together with the one before it: what is found of a month is final when the month after it is
  over, and one more day costs the same after years. A row is in the judgement of its own month and in that of the next, as far as there are days.
#}
{% macro judged(relation, time, window) -%}
    select *
    from (
        select *, unnest([date_trunc('month', {{ time }})::date, (date_trunc('month', {{ time }}) + interval 1 month)::date]) as month
        from {{ relation }}
    )
    where {{ in_window('month', window) }} and month <= (select max(day) from {{ ref('int_daily_instruments') }})
{%- endmacro %}

{# The rows that the judgements of a window need: those of its months and of the month before, and of 36 hours for the first row's predecessor. #}
{% macro needed_to_judge(time, window) -%} {{ in_window(time, window, margin=31 * 24 + 36) }} {%- endmacro %}

{# The value of the row before in its series, unless that is more than 36 hours away. #}
{% macro value_before(value, time) -%}
    case when {{ time }} - lag({{ time }}) over series <= interval 36 hour then lag({{ value }}) over series end
{%- endmacro %}

{#- Granularity: the steps, in hours, at one phase of which nearly all changes of an instrument's series lie, with how many there are. `changes` has
    a row for each change and step: instrument_id, month, day, step, and phase (the hour within the step). -#}
{%- macro changes_in_step(changes) %}
        select instrument_id, month, step, sum(c) as n, min(first_day) as first_day, max(last_day) as last_day
        from (select instrument_id, month, step, phase, count(*) as c, min(day) as first_day, max(day) as last_day from {{ changes }} group by all)
        group by all
        having max(c) >= 0.98 * n
    {% endmacro %}
