{{ vendor_references('kaiko') }}
