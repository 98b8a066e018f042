"""The commands of `geo-assets`, one module each.

Modules named as a command hold what `--help` shows and import nothing heavy before the command
runs; the modules they call do the work:

- `shared`: exit codes, errors and signals, options that several commands have.
- `project`: the definitions, the Dagster instance, selections and partitions.
- `teller`: one line for each step, and a live line on a terminal.
- `checking`, `reports`: run checks, and say what they found in several formats.
- `since`: what is newer than a version, a run, a time.
- `planning`, `dry`: what a run would do.
- `profiling`, `profiled`: record one partition with py-spy, in a process of its own.
- `tour`: the demo.
"""
