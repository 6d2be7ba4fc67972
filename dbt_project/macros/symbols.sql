{# The asset behind a listed coin: multiplier cut off, alias resolved as of a time. `pipelines/symbols.py` is the same function in Python. #}
{% macro base_asset(listed, at) -%}
    {%- set stripped -%}
        case
            when regexp_matches({{ listed }}, '^(10{3,9}|1M|1K|k)[A-Z]')
                then regexp_replace({{ listed }}, '^(10{3,9}|1M|1K|k)([A-Z])', '\2')
            else regexp_replace({{ listed }}, '([A-Z])1000$', '\1')
        end
    {%- endset -%}
    coalesce((
        select max(alias.base_asset) from {{ ref('asset_aliases') }} as alias
        where alias.listed = {{ stripped }}
            and coalesce({{ at }} >= alias.valid_from, true) and coalesce({{ at }} < alias.valid_to, true)
    ), {{ stripped }})
{%- endmacro %}

{# Whole coins in one listed unit: 1000 for 1000PEPE, kPEPE and SHIB1000. A name has one such marker: the first, or else the last. #}
{% macro multiplier(listed) -%}
    case
        when regexp_matches({{ listed }}, '^10{3,9}[A-Z]') then cast(regexp_extract({{ listed }}, '^(10{3,9})', 1) as double)
        when regexp_matches({{ listed }}, '^1M[A-Z]') then 1e6
        when regexp_matches({{ listed }}, '^(1K|k)[A-Z]|[A-Z]1000$') then 1e3
        else 1.0
    end
{%- endmacro %}

{# `linear`, `inverse` or `quanto` by the settlement currency. #}
{% macro contract_type(base, quote, settle) -%}
    case {{ settle }} when {{ quote }} then 'linear' when {{ base }} then 'inverse' else 'quanto' end
{%- endmacro %}

{# The class of an underlying by a venue's labels of it, such as `mc-trade-zone-Stock` or `Stocks Indices`; null where none says. #}
{% macro class_by_labels(labels) -%}
    case
        when regexp_matches(lower({{ labels }}), 'stock') then 'equity'
        when regexp_matches(lower({{ labels }}), 'metal|commodit|energy|oil') then 'commodity'
        when regexp_matches(lower({{ labels }}), 'forex') then 'forex'
        when regexp_matches(lower({{ labels }}), 'tradfi|index|indices') then 'other'
    end
{%- endmacro %}
