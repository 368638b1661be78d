"""Who carries out attention on a device, and which of them is taken."""
