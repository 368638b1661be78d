"""The video memory of one session: trunk, branches, snapshots, what is kept and what is exported."""
