{{ union_of('instruments') }}
