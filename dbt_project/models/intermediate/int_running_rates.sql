{{ union_of('running_rates') }}
