"""Heavy GIS work as asynchronous Dagster assets."""
