"""A memory bank out to a folder of files and in from files, its own and those of other programs."""
