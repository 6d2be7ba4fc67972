{# The asset behind a listed coin: multiplier cut off, alias resolved as of a time. `pipelines/symbols.py` is the same function in Python. #}
{% macro base_asset(listed, at) -%}
    {%- set stripped -%}
        regexp_replace(regexp_replace(regexp_replace({{ listed }},
            '^(10{3,9}|1M|1K)([A-Z])', '\2'), '([A-Z])1000$', '\1'), '^k([A-Z])', '\1')
    {%- endset -%}
    coalesce((
        select max(alias.base_asset) from {{ ref('asset_aliases') }} as alias
        where alias.listed = {{ stripped }}
            and coalesce({{ at }} >= alias.valid_from, true) and coalesce({{ at }} < alias.valid_to, true)
    ), {{ stripped }})
{%- endmacro %}

{# Whole coins in one listed unit: 1000 for 1000PEPE, kPEPE and SHIB1000. #}
{% macro multiplier(listed) -%}
    coalesce(try_cast(replace(replace(regexp_extract({{ listed }}, '^(10{3,9}|1M|1K)[A-Z]', 1), 'M', '000000'), 'K', '000') as double), 1.0)
    * case when regexp_matches({{ listed }}, '[A-Z]1000$') then 1e3 else 1.0 end
    * case when regexp_matches({{ listed }}, '^k[A-Z]') then 1e3 else 1.0 end
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
