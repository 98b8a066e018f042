"""When things run: sensors, schedules and jobs. Off until switched on.

Switch them on one by one in Dagster's UI, or all of them with `GEO_ASSETS_AUTOMATION=on`.
"""
