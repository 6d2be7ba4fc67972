{{ vendor_references('coinapi') }}
