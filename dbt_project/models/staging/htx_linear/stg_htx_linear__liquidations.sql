-- Not `amount`: by the turnover of the only sample, that counts contracts too.
{{ htx_liquidations(source_name='htx_linear', size='volume', unit='contracts') }}
