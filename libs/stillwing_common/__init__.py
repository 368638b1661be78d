"""What every part shares and none owns: types, errors, clocks, ids, mailboxes, a registry. Imports nothing of ours."""
