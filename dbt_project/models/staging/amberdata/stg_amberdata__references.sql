{{ vendor_references('amberdata') }}
